/** Room keys reach an account's second device: from the server's backup, from an exported file, from the first device. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Device, Homeserver, roomOf, say } from "../harness.mjs";

let server;
before(async () => (server = await Homeserver.start()));
after(() => server.stop());

test("js-sdk restores the server's backup on a second device", async (t) => {
    const account = await server.account("ada");
    const first = await Device.login(t, server, "js-sdk", account);
    const { recovery_key } = await first.call("make_recovery_key");
    const bob = await Device.login(t, server, "nio", await server.account("bob"));
    const room_id = await roomOf(first, bob);
    const mine = await say(room_id, first, bob, "what I said");
    const theirs = await say(room_id, bob, first, "what I was told");
    assert.deepEqual(await first.call("backed_up", { count: 2 }), { count: 2 });
    await first.stop();

    const second = await Device.login(t, server, "js-sdk", account);
    await assert.rejects(second.call("read_now", { room_id, event_id: theirs }), /no key/);
    await second.call("use_recovery_key", { recovery_key });
    assert.deepEqual(await second.call("restore_backup"), { total: 2, imported: 2 });
    for (const [event_id, sender, body] of [[mine, account, "what I said"], [theirs, bob.user_id, "what I was told"]]) {
        assert.deepEqual(await second.call("receive", { room_id, event_id }), { sender, body, decrypted: true });
    }
});

test("nio reads on a second device with exported keys", async (t) => {
    const account = await server.account("bob");
    const first = await Device.login(t, server, "nio", account);
    const ada = await Device.login(t, server, "mautrix", await server.account("ada"));
    const room_id = await roomOf(ada, first);
    const event_id = await say(room_id, ada, first, "for both of your devices");
    const file = { path: join(server.folder, "keys.txt"), passphrase: "a test's" };
    await first.call("export_keys", file);
    await first.stop();

    const second = await Device.login(t, server, "nio", account);
    await assert.rejects(second.call("read_history", { room_id, event_id }), /EncryptionError/);
    await second.call("import_keys", file);
    const found = await second.call("read_history", { room_id, event_id });
    assert.deepEqual(found, { sender: ada.user_id, body: "for both of your devices", decrypted: true });
});

test("a second mautrix device gets its keys from the first", async (t) => {
    const account = await server.account("cleo");
    const first = await Device.login(t, server, "mautrix", account);
    const { recovery_key } = await first.call("make_recovery_key");
    const ada = await Device.login(t, server, "js-sdk", await server.account("ada"));
    const room_id = await roomOf(ada, first);
    const event_id = await say(room_id, ada, first, "for whoever you are");

    const second = await Device.login(t, server, "mautrix", account);
    await assert.rejects(second.call("read_history", { room_id, event_id }), /SessionNotFound/);
    // The first shares only with a device that its owner has signed.
    await second.call("use_recovery_key", { recovery_key });
    assert.deepEqual(await second.call("fetch_key", { room_id, event_id, device_id: first.device_id }), { found: true });
    const found = await second.call("read_history", { room_id, event_id });
    assert.deepEqual(found, { sender: ada.user_id, body: "for whoever you are", decrypted: true });
});
