import { MatrixClient, MatrixEvent, Room } from "matrix-js-sdk";
import { expect, test } from "vitest";
import { hasEnded } from "./rooms.ts";

const told = (content: object): MatrixEvent => new MatrixEvent({ type: "org.vestibule.session", content });

test("a visit has ended when the server says so, and goes on when it takes that back", () => {
    const client = new MatrixClient({ baseUrl: "https://chat.example", userId: "@ada:example.org" });
    const room = new Room("!visit:example.org", client, "@ada:example.org");
    expect(hasEnded(room)).toBe(false);
    room.addAccountData([told({ ended: true })]);
    expect(hasEnded(room)).toBe(true);
    room.addAccountData([told({ ended: false })]);
    expect(hasEnded(room)).toBe(false);
    room.addAccountData([told({ ended: "yes" })]);
    expect(hasEnded(room)).toBe(false);
});
