/** The way to the support team: whether somebody is there, the chat with it, a message left for later. */
import { signal, type Signal } from "@preact/signals";
import type { MatrixEvent, Room } from "matrix-js-sdk";
import type { Desk } from "../chat/desk.ts";
import { launchChat } from "../chat/launch.ts";
import { byActivity, chats, isMessage, isSupport, isSupportOpen } from "../chat/rooms.ts";
import { sendText } from "../chat/send.ts";

/** Nobody has answered for this long: the window says that the message is kept. */
export const PATIENCE_MS = 120_000;

export type Sending = { kind: "idle" } | { kind: "busy" } | { kind: "sent" } | { kind: "failed"; error: unknown };

export class Support {
    /** The message of the form, kept while it is sent or fails. */
    readonly draft = signal("");
    readonly sending: Signal<Sending> = signal({ kind: "idle" });

    constructor(private readonly desk: Desk) {}

    get user_id(): string | undefined {
        return this.desk.me.support?.user_id;
    }

    /** Whether an agent is available: the presence of support's user. */
    isAvailable(): boolean {
        return this.user_id !== undefined && this.desk.presence.online.value.get(this.user_id) === true;
    }

    /** The support chat that goes on, if there is one with something in it. */
    current(): Room | undefined {
        const rooms = chats(this.desk.client).filter(
            (room) => isSupport(room, this.user_id) && isSupportOpen(room, this.user_id),
        );
        return byActivity(rooms)[0];
    }

    /** Opens the chat with support. */
    async launch(): Promise<void> {
        this.desk.show(await this.room());
    }

    /** Leaves the form's message. It goes into the same kind of room, so that the answer comes there. */
    async leaveMessage(): Promise<void> {
        const text = this.draft.value.trim();
        if (!text) return;
        this.sending.value = { kind: "busy" };
        try {
            await sendText(this.desk.client, await this.room(), text);
            this.draft.value = "";
            this.sending.value = { kind: "sent" };
        } catch (error) {
            this.sending.value = { kind: "failed", error };
        }
    }

    private async room(): Promise<Room> {
        if (this.user_id === undefined) throw new Error("there is no support here");
        return this.current() ?? launchChat(this.desk.client, [this.user_id], true);
    }
}

/** Since when a support chat waits for an agent's first answer; undefined once there is one, or nothing was asked. */
export function waitingSince(room: Room, support: string): number | undefined {
    const lines = room.getLiveTimeline().getEvents().filter(isMessage);
    const answered = lines.some((event) => event.getSender() === support && !isNotice(event));
    return answered ? undefined : lines.find((event) => event.getSender() !== support)?.getTs();
}

/** What the bridge itself says: that a chat is closed, that nobody is there. */
function isNotice(event: MatrixEvent): boolean {
    return event.getContent()["vestibule.support"] !== undefined;
}
