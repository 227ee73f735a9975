/** Sending, sending again, and telling that one is writing. */
import { ClientEvent, EventStatus, MsgType, SyncState, type MatrixClient, type MatrixEvent, type Room } from "matrix-js-sdk";

/** How long "is writing" lasts without another keystroke. */
const TYPING_MS = 8_000;
/** Told again at most this often. */
const TYPING_EVERY_MS = 4_000;

/** Sends a line. Rejects when it could not be sent; the line stays in the window as failed. */
export async function sendText(client: MatrixClient, room: Room, text: string): Promise<void> {
    await requireEncryption(client, room);
    await client.sendMessage(room.roomId, { msgtype: MsgType.Text, body: text });
}

/** Nothing leaves unencrypted, whatever a server says about the room's state. */
export async function requireEncryption(client: MatrixClient, room: Room): Promise<void> {
    if (!(await client.getCrypto()?.isEncryptionEnabledInRoom(room.roomId))) throw new Error("this chat is not encrypted");
}

/** Sends a failed line again. */
export async function sendAgain(client: MatrixClient, room: Room, event: MatrixEvent): Promise<void> {
    await client.resendEvent(event, room);
}

/** Takes a failed line away. */
export function discard(client: MatrixClient, event: MatrixEvent): void {
    client.cancelPendingEvent(event);
}

/** Sends what failed while the network was away, in order, as soon as it is back. */
export function resendOnReconnect(client: MatrixClient): void {
    client.on(ClientEvent.Sync, (state, before) => {
        const back =
            (state === SyncState.Syncing || state === SyncState.Prepared) &&
            before !== null &&
            before !== SyncState.Syncing &&
            before !== SyncState.Prepared;
        if (back) for (const room of client.getRooms()) void resendAll(client, room);
    });
}

async function resendAll(client: MatrixClient, room: Room): Promise<void> {
    for (const event of room.getPendingEvents().filter((pending) => pending.status === EventStatus.NOT_SENT)) {
        try {
            await client.resendEvent(event, room);
        } catch {
            return; // the line shows as failed again, with its own "try again"
        }
    }
}

/** Tells the others that one is writing, no more often than needed. */
export class TypingNotice {
    private told_at = -Infinity;

    constructor(
        private readonly client: MatrixClient,
        private readonly room: Room,
    ) {}

    keystroke(now: number): void {
        if (now - this.told_at < TYPING_EVERY_MS) return;
        this.told_at = now;
        this.tell(true);
    }

    done(): void {
        if (this.told_at === -Infinity) return;
        this.told_at = -Infinity;
        this.tell(false);
    }

    private tell(writing: boolean): void {
        // a lost notice is of no consequence
        this.client.sendTyping(this.room.roomId, writing, TYPING_MS).catch(() => {});
    }
}
