/** Everything the window shows of a running connection: the list of chats, the open one, who is there. */
import { computed, effect, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import {
    ClientEvent,
    MatrixEventEvent,
    RoomEvent,
    RoomMemberEvent,
    RoomStateEvent,
    type MatrixClient,
    type MatrixEvent,
    type Room,
} from "matrix-js-sdk";
import { Downloads } from "../files/download.ts";
import { Uploads } from "../files/upload.ts";
import type { Clock } from "../session/clock.ts";
import type { Login, Me } from "../session/login.ts";
import { launchChat } from "./launch.ts";
import { expiresAt } from "./lifetime.ts";
import { Presence } from "./presence.ts";
import { byActivity, chats, isMessage, isSupport, others, title, unread, type Contact } from "./rooms.ts";
import { resendOnReconnect, sendText, TypingNotice } from "./send.ts";
import { Timeline } from "./timeline.ts";

/** Contacts offered of the last chats. */
const RECENT = 3;

/** A chat as a row of the list. */
export interface Row {
    room: Room;
    title: string;
    people: Contact[];
    unread: number;
    support: boolean;
    /** Whether anything in it can still be read. */
    live: boolean;
}

/** The chat that is open in the window. */
export interface OpenChat {
    room: Room;
    timeline: Timeline;
    uploads: Uploads;
    typing: TypingNotice;
    support: boolean;
}

export class Desk {
    readonly rows: Signal<readonly Row[]> = signal([]);
    readonly open: Signal<OpenChat | undefined> = signal(undefined);
    readonly unread: ReadonlySignal<number> = computed(() => this.rows.value.reduce((sum, row) => sum + row.unread, 0));
    readonly presence: Presence;
    readonly downloads: Downloads;
    /** The latest message of somebody else, for the live region and the page. */
    readonly arrived: Signal<{ room: Room; event: MatrixEvent } | undefined> = signal(undefined);
    /** Text typed and not sent, by room. */
    readonly drafts = new Map<string, string>();
    private readonly joining = new Set<string>();
    private scheduled = false;
    private readonly stops: (() => void)[] = [];

    constructor(
        readonly client: MatrixClient,
        readonly login: Login,
        private readonly about: ReadonlySignal<Me>,
        readonly clock: Clock,
        /** Whether the keys of everything sent before are in. */
        readonly keysReady: ReadonlySignal<boolean>,
    ) {
        this.presence = new Presence(client);
        this.downloads = new Downloads(login);
        resendOnReconnect(client);
        const refresh = (): void => this.schedule();
        for (const event of [
            ClientEvent.Room,
            ClientEvent.DeleteRoom,
            RoomEvent.AccountData,
            RoomEvent.MyMembership,
            RoomEvent.Receipt,
            RoomStateEvent.Events,
            RoomMemberEvent.Membership,
            RoomMemberEvent.Name,
        ] as const)
            client.on(event, refresh);
        client.on(RoomEvent.MyMembership, (room, membership) => {
            // Taken out of the chat: there is nothing more to be said in it.
            if (membership !== "join" && this.open.value?.room === room) this.hide();
        });
        client.on(RoomEvent.Timeline, (event, room, toStart, removed, data) => {
            this.schedule();
            if (room && !toStart && !removed && data.liveEvent) this.announce(event, room);
        });
        client.on(MatrixEventEvent.Decrypted, (event) => {
            const room = client.getRoom(event.getRoomId());
            this.schedule();
            if (room) this.announce(event, room);
        });
        this.stops.push(
            clock.now.subscribe(() => this.build()),
            this.dropExpiredFiles(),
        );
    }

    /** Who we are: it changes when the platform moves the session, or switches chat on or off. */
    get me(): Me {
        return this.about.value;
    }

    /** The people of the last chats, latest first, each once. */
    readonly recent: ReadonlySignal<Contact[]> = computed(() => {
        const contacts = new Map<string, Contact>();
        const single = this.rows.value.filter((row) => !row.support && row.people.length > 0);
        for (const contact of single.slice(0, RECENT).flatMap((row) => row.people)) contacts.set(contact.user_id, contact);
        return [...contacts.values()].slice(0, RECENT);
    });

    /** Opens a room in the window. */
    show(room: Room): void {
        if (this.open.value?.room === room) return;
        this.hide();
        const { client, clock, me } = this;
        this.open.value = {
            room,
            timeline: new Timeline(client, room, clock, me),
            uploads: new Uploads(client, this.login.tokens, room),
            typing: new TypingNotice(client, room),
            support: isSupport(room, me.support?.user_id),
        };
    }

    /** Back to the list. */
    hide(): void {
        this.open.value?.typing.done();
        this.open.value?.timeline.close();
        this.open.value?.uploads.close();
        this.open.value = undefined;
    }

    /** Opens the chat with these people, made if there is none. */
    async launch(user_ids: readonly string[]): Promise<void> {
        const trusted = this.me.role === "participant" || user_ids.includes(this.me.support?.user_id ?? "");
        this.show(await launchChat(this.client, user_ids, trusted));
    }

    /** Sends a line in a room. */
    send(room: Room, text: string): Promise<void> {
        return sendText(this.client, room, text);
    }

    close(): void {
        this.hide();
        for (const stop of this.stops) stop();
        this.presence.close();
        this.downloads.close();
    }

    /** Whether a message can still be read. */
    isAlive(room: Room, event: MatrixEvent): boolean {
        return expiresAt(room, event, this.me) > this.clock.read();
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
        this.joinInvitations();
        const own = this.me.user_id;
        this.rows.value = byActivity(chats(this.client)).map((room) => {
            const alive = (event: MatrixEvent): boolean => this.isAlive(room, event);
            const lines = room
                .getLiveTimeline()
                .getEvents()
                .filter((event) => isMessage(event) && alive(event));
            return {
                room,
                title: title(room, own),
                people: others(room, own),
                unread: unread(room, alive),
                support: isSupport(room, this.me.support?.user_id),
                live: lines.length > 0 || room.getPendingEvents().length > 0,
            };
        });
    }

    /** The server lets nobody invite us whom we shouldn't talk to, so an invitation needs no question. */
    private joinInvitations(): void {
        for (const room of this.client.getRooms()) {
            if (room.getMyMembership() !== "invite" || this.joining.has(room.roomId)) continue;
            this.joining.add(room.roomId);
            this.client.joinRoom(room.roomId).then(
                () => this.joining.delete(room.roomId),
                () => setTimeout(() => this.joining.delete(room.roomId), 15_000), // asked again with a later tick
            );
        }
    }

    private announce(event: MatrixEvent, room: Room): void {
        if (
            event.getSender() === this.me.user_id ||
            event.getType() !== "m.room.message" ||
            event.isDecryptionFailure() ||
            !isMessage(event)
        )
            return;
        const id = event.getId();
        if (id && !room.hasUserReadEvent(this.me.user_id, id) && this.isAlive(room, event)) this.arrived.value = { room, event };
    }

    /** Bytes of a file go when its message goes. */
    private dropExpiredFiles(): () => void {
        let before = new Set<string>();
        let timeline: Timeline | undefined;
        return effect(() => {
            const now = this.open.value?.timeline;
            const urls = new Set(
                (now?.messages.value ?? []).flatMap(({ body }) => (body.kind === "file" ? [body.info.file.url] : [])),
            );
            if (now === timeline) for (const url of before) if (!urls.has(url)) this.downloads.drop(url);
            [timeline, before] = [now, urls];
        });
    }
}
