import { expect, test } from "vitest";
import { buildChat } from "./launch.ts";

test("a chat is private, and encrypted with keys of an hour, from its first event on", () => {
    const room = buildChat(["@ben:example.org"], false);
    expect(room).toMatchObject({ visibility: "private", preset: "private_chat", is_direct: true, invite: ["@ben:example.org"] });
    const state = Object.fromEntries((room.initial_state ?? []).map(({ type, content }) => [type, content]));
    expect(state).toEqual({
        "m.room.encryption": { algorithm: "m.megolm.v1.aes-sha2", rotation_period_ms: 3_600_000, rotation_period_msgs: 100 },
        "m.room.history_visibility": { history_visibility: "shared" },
        "m.room.guest_access": { guest_access: "forbidden" },
    });
});

test("several people are a group; the other side gets the creator's power only where it should", () => {
    expect(buildChat(["@a:b", "@c:d"], false).is_direct).toBe(false);
    expect(buildChat(["@a:b"], true).preset).toBe("trusted_private_chat");
});
