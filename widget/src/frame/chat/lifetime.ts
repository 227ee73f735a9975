/** How long a message is kept, and what is left of it. */
import type { MatrixEvent, Room } from "matrix-js-sdk";

/** Files never live longer than this, whatever an account's text retention is (rule D11). */
export const FILE_LIFETIME_MS = 24 * 3_600_000;

const FILE_TYPES = new Set(["m.file", "m.image", "m.audio", "m.video"]);

/** Whether a message carries a file. */
export function isFile(event: MatrixEvent): boolean {
    return FILE_TYPES.has(String(event.getContent()["msgtype"]));
}

/** The room's own limit, if its state has one (MSC1763). */
function roomLimit(room: Room): number {
    for (const type of ["m.room.retention", "org.matrix.msc1763.retention"]) {
        const limit: unknown = room.currentState.getStateEvents(type, "")?.getContent()["max_lifetime"];
        if (typeof limit === "number" && limit > 0) return limit;
    }
    return Infinity;
}

/** A room may shorten the account's retention, never lengthen it. */
export function lifetime(room: Room, retention_ms: number): number {
    return Math.min(retention_ms, roomLimit(room));
}

/** When a message is gone, server time in Unix milliseconds. */
export function expiresAt(event: MatrixEvent, lifetime_ms: number): number {
    return event.getTs() + (isFile(event) ? Math.min(lifetime_ms, FILE_LIFETIME_MS) : lifetime_ms);
}

/** What is left, in the largest unit that fits: days only from two on, so that a day reads as hours. */
export function remaining(left_ms: number): { unit: "day" | "hour" | "minute" | "second"; count: number } {
    const seconds = Math.max(0, Math.ceil(left_ms / 1_000));
    if (seconds < 60) return { unit: "second", count: seconds };
    const minutes = Math.ceil(seconds / 60);
    if (minutes < 60) return { unit: "minute", count: minutes };
    const hours = Math.round(minutes / 60);
    if (hours < 48) return { unit: "hour", count: hours };
    return { unit: "day", count: Math.round(hours / 24) };
}
