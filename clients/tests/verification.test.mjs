/** Devices are verified by comparing emoji, and by the recovery key. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Device, Homeserver, roomOf, say } from "../harness.mjs";

let server;
before(async () => (server = await Homeserver.start()));
after(() => server.stop());

/** `asking` asks, both see the same seven emoji, and agree. */
async function compareEmoji(asking, asked) {
    const { user_id, device_id } = asked;
    await asking.call("request_verification", { user_id, device_id });
    const [here, there] = await Promise.all([asking.call("start_verification"), asked.call("accept_verification")]);
    assert.equal(here.emoji.length, 7);
    assert.deepEqual(here.emoji, there.emoji);
    const ends = [[asking, here], [asked, there]].map(([device, { transaction }]) => device.call("confirm_verification", { transaction }));
    assert.deepEqual(await Promise.all(ends), [{ verified: true }, { verified: true }]);
}

const verified = ({ user_id, device_id }) => ["is_verified", { user_id, device_id }];

test("a second device is verified by the first, and gets its secrets", async (t) => {
    const account = await server.account("ada");
    const first = await Device.login(t, server, "js-sdk", account);
    await first.call("make_recovery_key");
    const second = await Device.login(t, server, "js-sdk", account);
    await compareEmoji(second, first);
    assert.deepEqual(await first.call(...verified(second)), { verified: true });
    assert.deepEqual(await second.call(...verified(first)), { verified: true });
    // The first hands over its secrets, encrypted, device to device.
    await second.call("has_cross_signing_secrets");
});

// Each with its own kind: matrix-nio 0.26 writes the commitment as hexadecimal digits, the specification (and js-sdk) as base64.
for (const kind of ["js-sdk", "nio"]) {
    test(`two people with ${kind} verify each other`, async (t) => {
        const ada = await Device.login(t, server, kind, await server.account("ada"));
        const bob = await Device.login(t, server, kind, await server.account("bob"));
        if (kind === "js-sdk") for (const device of [ada, bob]) await device.call("make_recovery_key");
        // Who talks knows the other's devices.
        const room_id = await roomOf(ada, bob);
        await say(room_id, ada, bob, "Is it you?");
        await say(room_id, bob, ada, "Compare the emoji.");
        await compareEmoji(ada, bob);
        assert.deepEqual(await ada.call(...verified(bob)), { verified: true });
        assert.deepEqual(await bob.call(...verified(ada)), { verified: true });
    });
}

for (const [maker, user] of [["js-sdk", "mautrix"], ["mautrix", "js-sdk"]]) {
    test(`a ${user} device is verified with the recovery key that ${maker} made`, async (t) => {
        const account = await server.account("ada");
        const first = await Device.login(t, server, maker, account);
        const { recovery_key } = await first.call("make_recovery_key");
        const second = await Device.login(t, server, user, account);
        await second.call("use_recovery_key", { recovery_key });
        // Somebody else sees that the device is its owner's.
        const bob = await Device.login(t, server, "mautrix", await server.account("bob"));
        assert.deepEqual(await bob.call("trust", { user_id: second.user_id, device_id: second.device_id }), { trust: "CROSS_SIGNED_TOFU" });
    });
}
