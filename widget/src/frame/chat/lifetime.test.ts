import { EventStatus, MatrixEvent, type Room } from "matrix-js-sdk";
import { expect, test } from "vitest";
import { expiresAt, lifetime, remaining } from "./lifetime.ts";
import { nextChange } from "./timeline.ts";

test.each([
    [86_400_000, "hour", 24],
    [10_700_000, "hour", 3],
    [3_540_001, "hour", 1],
    [3_540_000, "minute", 59],
    [60_001, "minute", 2],
    [59_000, "second", 59],
    [1, "second", 1],
    [-5, "second", 0],
    [7 * 86_400_000, "day", 7],
])("%i ms are left: %s %i", (left_ms, unit, count) => {
    expect(remaining(left_ms)).toEqual({ unit, count });
});

test("a line changes when its last minute begins, then each second, and exactly at its end", () => {
    expect(nextChange(100_000, 0)).toBe(40_000);
    expect(nextChange(100_000, 40_000)).toBe(41_000);
    expect(nextChange(100_500, 99_900)).toBe(100_500);
    expect(nextChange(100_500, 99_000)).toBe(99_500);
});

const DAY_MS = 86_400_000;
const SENT_MS = 1_800_000_000_000;
const OURS = { retention_ms: DAY_MS, text_retention_ms: 7 * DAY_MS };

/** A room whose state says so many days; none: says nothing. */
function roomOf(days?: number): Room {
    const content = { max_lifetime: (days ?? 0) * DAY_MS };
    const state = new MatrixEvent({ type: "m.room.retention", state_key: "", content });
    const getStateEvents = (type: string): MatrixEvent | null => (days && type === state.getType() ? state : null);
    return { currentState: { getStateEvents } } as unknown as Room;
}

function message(msgtype: string, unsigned: object): MatrixEvent {
    return new MatrixEvent({ type: "m.room.message", content: { msgtype }, origin_server_ts: SENT_MS, unsigned });
}

test.each([
    ["of which the server says nothing", "m.text", {}, 1],
    ["that the server keeps for longer", "m.text", { "org.vestibule.expires_ts": SENT_MS + 7 * DAY_MS }, 7],
    ["that the server keeps for less", "m.text", { "org.vestibule.expires_ts": SENT_MS + DAY_MS / 2 }, 0.5],
    ["with a file that is gone before it", "m.image", { "org.vestibule.expires_ts": SENT_MS + 7 * DAY_MS }, 1],
    ["with a file, kept for less", "m.image", { "org.vestibule.expires_ts": SENT_MS + DAY_MS / 2 }, 0.5],
    ["of which something else is said", "m.text", { "org.vestibule.expires_ts": "soon" }, 1],
])("a message %s is shown until its true end", (_, msgtype, unsigned, days) => {
    expect(expiresAt(roomOf(7), message(msgtype, unsigned), OURS)).toBe(SENT_MS + days * DAY_MS);
});

test("what is still on its way is shown as long as it will be kept", () => {
    const event = message("m.text", {});
    event.setStatus(EventStatus.SENDING);
    expect(expiresAt(roomOf(7), event, OURS)).toBe(SENT_MS + 7 * DAY_MS);
    expect(expiresAt(roomOf(2), event, OURS)).toBe(SENT_MS + 2 * DAY_MS);
});

test("a room may say less than the account, never more", () => {
    expect([roomOf(), roomOf(30), roomOf(1)].map((room) => lifetime(room, OURS))).toEqual([7, 7, 1].map((days) => days * DAY_MS));
});
