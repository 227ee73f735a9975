/** What the widget knows of a room, told from its state. */
import { EventType, type MatrixClient, type MatrixEvent, type Room, type RoomMember } from "matrix-js-sdk";

/** One other person in a chat. */
export interface Contact {
    user_id: string;
    name: string;
}

/** Membership that still belongs to the chat: joined, or about to. */
function isPresent(member: RoomMember): boolean {
    return member.membership === "join" || member.membership === "invite";
}

/** The other people of a room, those who left only if nobody is left. */
export function others(room: Room, own: string): Contact[] {
    const members = room.getMembers().filter((member) => member.userId !== own);
    const present = members.filter(isPresent);
    const shown = present.length > 0 ? present : members.filter((member) => member.membership === "leave");
    return shown.map((member) => ({ user_id: member.userId, name: member.rawDisplayName || localpart(member.userId) }));
}

/** Whether all the others have left: nobody would read what is written. */
export function isDeserted(room: Room, own: string): boolean {
    return !room.getMembers().some((member) => member.userId !== own && isPresent(member));
}

/** The account data of a room in which the server tells a host that the other's session is over: `{ "ended": boolean }`. */
const SESSION = "org.vestibule.session";

/** Whether the session of whom one chats with there has ended: they read nothing any more, and the server takes nothing for them. */
export function hasEnded(room: Room): boolean {
    return room.getAccountData(SESSION)?.getContent()["ended"] === true;
}

/** The name shown for a room: its own, or its people's. */
export function title(room: Room, own: string): string {
    const name = room.currentState.getStateEvents(EventType.RoomName, "")?.getContent<{ name?: string }>().name;
    return (
        name ||
        others(room, own)
            .map((contact) => contact.name)
            .join(", ")
    );
}

/** `@ada:example.org` → `ada`; better than nothing when there is no display name. */
export function localpart(user_id: string): string {
    return user_id.replace(/^@/, "").replace(/:.*$/, "");
}

/** Rooms that are chats: joined, and encrypted (what isn't is not the widget's business). */
export function chats(client: MatrixClient): Room[] {
    return client.getRooms().filter((room) => room.getMyMembership() === "join" && room.hasEncryptionStateEvent());
}

/** The live chat with exactly these people. */
export function findChat(client: MatrixClient, user_ids: readonly string[]): Room | undefined {
    const own = client.getSafeUserId();
    const wanted = [...user_ids].sort().join(" ");
    const same = chats(client).filter((room) => {
        const present = room.getMembers().filter((member) => member.userId !== own && isPresent(member));
        return (
            present
                .map((member) => member.userId)
                .sort()
                .join(" ") === wanted
        );
    });
    return newest(same);
}

/** The chat with the latest activity. */
export function newest(rooms: readonly Room[]): Room | undefined {
    return byActivity(rooms)[0];
}

/** Latest activity first. */
export function byActivity(rooms: readonly Room[]): Room[] {
    return [...rooms].sort((a, b) => activity(b) - activity(a));
}

/** When something last happened in a room: a message, or else a state change, Unix milliseconds. */
export function activity(room: Room): number {
    const events = room.getLiveTimeline().getEvents();
    const last = events[events.length - 1]?.getTs() ?? 0;
    const created = room.currentState.getStateEvents(EventType.RoomCreate, "")?.getTs() ?? 0;
    const joined = room.getMember(room.myUserId)?.events.member?.getTs() ?? 0;
    return Math.max(last, created, joined);
}

/** Whether a room is a chat with support: its user is, or was, in it. */
export function isSupport(room: Room, support: string | undefined): boolean {
    return support !== undefined && room.getMember(support) !== null;
}

/** Whether support is still there: closing the ticket makes its user leave. */
export function isSupportOpen(room: Room, support: string | undefined): boolean {
    const member = support === undefined ? null : room.getMember(support);
    return member !== null && isPresent(member);
}

/** Messages of others after the own read marker. */
export function unread(room: Room, isAlive: (event: MatrixEvent) => boolean): number {
    const own = room.myUserId;
    const events = room.getLiveTimeline().getEvents();
    const read = room.getEventReadUpTo(own);
    let count = 0;
    for (let at = events.length - 1; at >= 0; at--) {
        const event = events[at];
        if (!event || event.getId() === read || event.getSender() === own) break;
        if (isMessage(event) && isAlive(event)) count++;
    }
    return count;
}

/** Whether an event is a line of the window: a message, or one that can't be read yet. */
export function isMessage(event: MatrixEvent): boolean {
    if (event.isState() || event.isRedacted() || event.isRelation("m.replace")) return false;
    return (
        event.getType() === EventType.RoomMessage ||
        event.getType() === EventType.RoomMessageEncrypted ||
        event.isDecryptionFailure()
    );
}
