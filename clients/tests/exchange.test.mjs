/** Two clients of different kinds talk in an encrypted room. */
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";

import { Device, Homeserver, KINDS, roomOf, say, sendFile } from "../harness.mjs";

let server;
before(async () => (server = await Homeserver.start()));
after(() => server.stop());

const pairs = KINDS.flatMap((one, index) => KINDS.slice(index + 1).map((other) => [one, other]));

for (const [one, other] of pairs) {
    test(`${one} and ${other} exchange text and files`, async (t) => {
        const ada = await Device.login(t, server, one, await server.account("ada"));
        const bob = await Device.login(t, server, other, await server.account("bob"));
        // Who made the room is the first to share its keys, so both do.
        for (const [first, second] of [[ada, bob], [bob, ada]]) {
            const room_id = await roomOf(first, second);
            await say(room_id, first, second, "Good morning, is this the right room?");
            await say(room_id, second, first, "It is. ¡Adelante! 🚪");
            await sendFile(room_id, first, second, "lab results.txt", randomBytes(200_000));
            await sendFile(room_id, second, first, "antwort.txt", randomBytes(17));
        }
    });
}
