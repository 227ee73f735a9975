/** Opening a chat: the one there is, or a new private, encrypted, short-lived room. */
import {
    ClientEvent,
    EventType,
    GuestAccess,
    HistoryVisibility,
    MatrixError,
    Preset,
    RoomStateEvent,
    Visibility,
    type ICreateRoomOpts,
    type MatrixClient,
    type Room,
} from "matrix-js-sdk";
import { chats, findChat } from "./rooms.ts";

/** A room key is used for an hour at most, so that keys don't outlive what they lock by more than that. */
const ROTATION_MS = 3_600_000;
/** A created room comes with the next sync; later than this something is wrong. */
const APPEAR_MS_MAX = 30_000;
/** The other side's invitation, when both start a chat at once. */
const INVITATION_MS_MAX = 8_000;

/**
 * The request for a new chat; for how long it keeps what is said, the server adds. `trusted` gives the others the creator's power: for
 * chats a participant starts, and support.
 */
export function buildChat(user_ids: readonly string[], trusted: boolean): ICreateRoomOpts {
    return {
        visibility: Visibility.Private,
        preset: trusted ? Preset.TrustedPrivateChat : Preset.PrivateChat,
        is_direct: user_ids.length === 1,
        invite: [...user_ids],
        initial_state: [
            {
                type: EventType.RoomEncryption,
                state_key: "",
                content: { algorithm: "m.megolm.v1.aes-sha2", rotation_period_ms: ROTATION_MS, rotation_period_msgs: 100 },
            },
            // "shared", so that keys go to people who are invited and have not come yet
            { type: EventType.RoomHistoryVisibility, state_key: "", content: { history_visibility: HistoryVisibility.Shared } },
            { type: EventType.RoomGuestAccess, state_key: "", content: { guest_access: GuestAccess.Forbidden } },
        ],
    };
}

/** Opens the chat with exactly these people; makes it if there is none. */
export async function launchChat(
    client: MatrixClient,
    user_ids: readonly string[],
    trusted: boolean,
): Promise<Room> {
    const found = findChat(client, user_ids);
    if (found) return found;
    let room_id: string;
    try {
        ({ room_id } = await client.createRoom(buildChat(user_ids, trusted)));
    } catch (error) {
        // Both sides may press at once; there is one room for the two, and its invitation is on the way.
        const refused = error instanceof MatrixError && error.httpStatus === 403;
        const theirs = refused ? await until(client, () => findChat(client, user_ids), INVITATION_MS_MAX) : undefined;
        if (theirs) return theirs;
        throw error;
    }
    const room = await appear(client, room_id);
    if (user_ids.length === 1 && user_ids[0]) await markDirect(client, user_ids[0], room_id).catch(() => {}); // only a convenience for other clients
    return room;
}

/** Waits until a joined, encrypted room has come with the sync. */
async function appear(client: MatrixClient, room_id: string): Promise<Room> {
    const look = (): Room | undefined => chats(client).find((room) => room.roomId === room_id);
    const room = await until(client, look, APPEAR_MS_MAX);
    if (!room) throw new Error("the new chat did not come with the sync");
    return room;
}

/** Looks again with every change of the rooms, until there is something to see or the time is up. */
function until<T>(client: MatrixClient, look: () => T | undefined, wait_ms: number): Promise<T | undefined> {
    return new Promise((resolve) => {
        const finish = (found: T | undefined): void => {
            clearTimeout(timer);
            client.off(ClientEvent.Room, check);
            client.off(RoomStateEvent.Events, check);
            resolve(found);
        };
        const check = (): void => {
            const found = look();
            if (found !== undefined) finish(found);
        };
        const timer = setTimeout(() => finish(undefined), wait_ms);
        client.on(ClientEvent.Room, check);
        client.on(RoomStateEvent.Events, check);
        check();
    });
}

async function markDirect(client: MatrixClient, user_id: string, room_id: string): Promise<void> {
    const direct = client.getAccountData(EventType.Direct)?.getContent<Record<string, string[]>>() ?? {};
    const rooms = direct[user_id] ?? [];
    if (!rooms.includes(room_id)) await client.setAccountData(EventType.Direct, { ...direct, [user_id]: [...rooms, room_id] });
}
