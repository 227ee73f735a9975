/** The lines of an open chat window, kept true while events come, heal, are read and expire. */
import { signal, type Signal } from "@preact/signals";
import {
    ClientEvent,
    Direction,
    EventType,
    MatrixEventEvent,
    ReceiptType,
    RoomEvent,
    type MatrixClient,
    type MatrixEvent,
    type Room,
} from "matrix-js-sdk";
import type { Clock } from "../session/clock.ts";
import { expiresAt, type Retention } from "./lifetime.ts";
import { buildMessage, type Message } from "./message.ts";
import { isMessage, localpart } from "./rooms.ts";

/** Older lines fetched at a time. */
const PAGE_EVENTS = 30;

export class Timeline {
    readonly messages: Signal<Message[]> = signal([]);
    /** Names of the people writing just now. */
    readonly typing: Signal<string[]> = signal([]);
    /** Whether older messages may be on the server. */
    readonly more = signal(true);
    private loading: Promise<void> | undefined;
    private scheduled = false;
    private readonly refresh = (): void => this.schedule();
    // js-sdk's own RoomMember.typing does not come for a room that began as an invitation; the members' state is right all the same
    private readonly onEphemeral = (event: MatrixEvent): void => {
        if (event.getType() === EventType.Typing) this.readTyping();
    };
    private readonly onDecrypted = (event: MatrixEvent): void => {
        if (event.getRoomId() === this.room.roomId) this.schedule();
    };
    private readonly unwatchClock: () => void;

    constructor(
        private readonly client: MatrixClient,
        readonly room: Room,
        private readonly clock: Clock,
        private readonly retention: Retention,
    ) {
        for (const event of [
            RoomEvent.Timeline,
            RoomEvent.TimelineReset,
            RoomEvent.LocalEchoUpdated,
            RoomEvent.Receipt,
            RoomEvent.Redaction,
        ] as const)
            room.on(event, this.refresh);
        client.on(MatrixEventEvent.Decrypted, this.onDecrypted);
        client.on(ClientEvent.Event, this.onEphemeral);
        this.unwatchClock = clock.now.subscribe(() => this.build());
    }

    close(): void {
        for (const event of [
            RoomEvent.Timeline,
            RoomEvent.TimelineReset,
            RoomEvent.LocalEchoUpdated,
            RoomEvent.Receipt,
            RoomEvent.Redaction,
        ] as const)
            this.room.off(event, this.refresh);
        this.client.off(MatrixEventEvent.Decrypted, this.onDecrypted);
        this.client.off(ClientEvent.Event, this.onEphemeral);
        this.unwatchClock();
    }

    /** Fetches older messages, if there are any. */
    loadMore(): Promise<void> {
        this.loading ??= this.fetchPage().finally(() => (this.loading = undefined));
        return this.loading;
    }

    /** Marks everything shown as read, for the own other devices and for the sender. */
    async markRead(): Promise<void> {
        const last = this.room
            .getLiveTimeline()
            .getEvents()
            .findLast((event) => event.getSender() !== this.room.myUserId && isMessage(event));
        const id = last?.getId();
        if (!last || !id || this.room.hasUserReadEvent(this.room.myUserId, id)) return;
        await this.client.sendReadReceipt(last, ReceiptType.Read, true);
    }

    private async fetchPage(): Promise<void> {
        const timeline = this.room.getLiveTimeline();
        const more = await this.client.paginateEventTimeline(timeline, { backwards: true, limit: PAGE_EVENTS });
        const oldest = timeline.getEvents()[0];
        const expired = oldest !== undefined && this.expiry(oldest) <= this.clock.read();
        this.more.value = more && !expired && timeline.getPaginationToken(Direction.Backward) !== null;
        this.build();
    }

    private schedule(): void {
        if (this.scheduled) return;
        this.scheduled = true;
        queueMicrotask(() => {
            this.scheduled = false;
            this.build();
        });
    }

    private build(): void {
        const now = this.clock.read();
        const events = [...this.room.getLiveTimeline().getEvents(), ...this.room.getPendingEvents()].filter(isMessage);
        const messages: Message[] = [];
        for (const event of events) {
            const expires_at = this.expiry(event);
            if (expires_at <= now) continue;
            this.clock.wakeAt(nextChange(expires_at, now));
            messages.push(buildMessage(this.room, event, expires_at));
        }
        this.messages.value = messages;
    }

    private expiry(event: MatrixEvent): number {
        return expiresAt(this.room, event, this.retention);
    }

    private readTyping(): void {
        this.typing.value = this.room
            .getMembers()
            .filter((member) => member.typing && member.userId !== this.room.myUserId)
            .map((member) => member.rawDisplayName || localpart(member.userId));
    }
}

/** When a line's "deleted in …" next changes: each second in the last minute, else the clock's own ticks will do. */
export function nextChange(expires_at: number, now: number): number {
    const left = expires_at - now;
    return left > 60_000 ? expires_at - 60_000 : now + (left % 1_000 || 1_000);
}
