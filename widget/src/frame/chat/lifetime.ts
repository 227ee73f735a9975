/** How long a message is kept, and what is left of it. */
import type { MatrixEvent, Room } from "matrix-js-sdk";
import type { Me } from "../session/login.ts";

/** What the server says of all messages, and of the account's. */
export type Retention = Pick<Me, "retention_ms" | "text_retention_ms">;

/** In the unsigned part of a message that is kept for another time than all others: when it is gone. */
const EXPIRES_TS = "org.vestibule.expires_ts";

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

/** How long what is written in a room is kept at most. A room may shorten the account's retention, never lengthen it. */
export function lifetime(room: Room, retention: Retention): number {
    return Math.min(retention.text_retention_ms, roomLimit(room));
}

/** When a message is gone, server time in Unix milliseconds. Files are not kept longer for any account (rule D11). */
export function expiresAt(room: Room, event: MatrixEvent, retention: Retention): number {
    const told: unknown = event.getUnsigned()[EXPIRES_TS];
    // Nobody has said so yet of what is still on its way.
    const kept_ms = event.status === null ? retention.retention_ms : lifetime(room, retention);
    const end = typeof told === "number" ? told : event.getTs() + kept_ms;
    return isFile(event) ? Math.min(end, event.getTs() + retention.retention_ms) : end;
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
