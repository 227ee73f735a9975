/** What was said while a client or the server was away arrives. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Device, Homeserver, KINDS, roomOf, say } from "../harness.mjs";

let server;
before(async () => (server = await Homeserver.start()));
after(() => server.stop());

// js-sdk keeps its keys in IndexedDB, which Node has not: the widget's browser tests restart it.
for (const kind of KINDS.filter((kind) => kind !== "js-sdk")) {
    test(`${kind} reads after its restart what was said meanwhile`, async (t) => {
        const ada = await Device.login(t, server, "js-sdk", await server.account("ada"));
        const bob = await Device.login(t, server, kind, await server.account("bob"));
        const room_id = await roomOf(ada, bob);
        await say(room_id, ada, bob, "before");
        await bob.stop();
        // A room key of its own for these, so that it waits among the messages to the device.
        await ada.call("forget_outbound_key", { room_id });
        const texts = ["Are you there?", "I will wait.", "The doctor asks for you."];
        const sent = [];
        for (const text of texts) sent.push(await ada.call("send_text", { room_id, text }));
        await bob.restart();
        for (const [index, { event_id }] of sent.entries()) {
            assert.equal((await bob.call("receive", { room_id, event_id })).body, texts[index]);
        }
        await say(room_id, bob, ada, "here again");
    });
}

test("all clients go on after the server's restart", async (t) => {
    const devices = [];
    for (const kind of KINDS) devices.push(await Device.login(t, server, kind, await server.account("guest")));
    const room_id = await roomOf(...devices);
    await say(room_id, devices[0], devices[1], "before");
    await server.restart();
    for (const from of devices) {
        for (const to of devices) if (from !== to) await say(room_id, from, to, `after, from ${from.kind} to ${to.kind}`);
    }
});
