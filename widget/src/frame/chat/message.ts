/** One line of a chat window, told from an event. */
import { DecryptionFailureCode } from "matrix-js-sdk/lib/crypto-api/index.js";
import { EventStatus, type MatrixEvent, type Room } from "matrix-js-sdk";
import type { EncryptedFile } from "../files/cipher.ts";
import { isFile } from "./lifetime.ts";
import { localpart } from "./rooms.ts";

/** A file of a message; its bytes are ciphertext on the server. */
export interface FileInfo {
    name: string;
    type: string;
    size: number;
    width?: number;
    height?: number;
    file: EncryptedFile;
}

/** Why a message can't be read, sorted by what a person can expect. */
export type Unreadable = "waiting" | "withheld" | "before" | "left" | "untrusted" | "broken";

export type Body =
    | { kind: "text"; text: string; notice: boolean }
    | { kind: "file"; info: FileInfo; caption: string }
    | { kind: "unreadable"; reason: Unreadable }
    | { kind: "unknown" };

export type Delivery = "sending" | "failed" | "sent" | "read";

/** A message as the window shows it. */
export interface Message {
    key: string;
    event: MatrixEvent;
    mine: boolean;
    sender: string;
    senderName: string;
    sent_at: number;
    expires_at: number;
    edited: boolean;
    body: Body;
    delivery: Delivery;
}

/** Builds the line for an event. */
export function buildMessage(room: Room, event: MatrixEvent, expires_at: number): Message {
    const sender = event.getSender() ?? "";
    const mine = sender === room.myUserId;
    return {
        key: event.getTxnId() ?? event.getId() ?? String(event.getTs()),
        event,
        mine,
        sender,
        senderName: senderName(room, event),
        sent_at: event.getTs(),
        expires_at,
        edited: event.replacingEvent() !== null,
        body: buildBody(event),
        delivery: mine ? delivery(room, event) : "sent",
    };
}

/** The name to show. Support's messages carry the agent's name in a per-message profile (MSC4144). */
function senderName(room: Room, event: MatrixEvent): string {
    const content = event.getContent();
    for (const key of ["m.per_message_profile", "com.beeper.per_message_profile"]) {
        const profile: unknown = content[key];
        if (typeof profile === "object" && profile !== null) {
            const { displayname } = profile as { displayname?: unknown };
            if (typeof displayname === "string" && displayname) return displayname;
        }
    }
    const sender = event.getSender() ?? "";
    return room.getMember(sender)?.rawDisplayName || localpart(sender);
}

function buildBody(event: MatrixEvent): Body {
    if (event.isDecryptionFailure()) return { kind: "unreadable", reason: unreadable(event) };
    if (event.isEncrypted() && event.getType() === "m.room.encrypted") return { kind: "unreadable", reason: "waiting" };
    const content = event.getContent();
    const text = typeof content["body"] === "string" ? content["body"] : "";
    if (isFile(event)) {
        const info = fileInfo(content);
        return info ? { kind: "file", info, caption: caption(content) } : { kind: "unknown" };
    }
    if (["m.text", "m.notice", "m.emote"].includes(String(content["msgtype"])))
        return { kind: "text", text, notice: content["msgtype"] === "m.notice" };
    return { kind: "unknown" };
}

function fileInfo(content: Record<string, unknown>): FileInfo | undefined {
    const file = content["file"] as EncryptedFile | undefined;
    if (typeof file?.url !== "string") return undefined;
    const raw = (content["info"] ?? {}) as Record<string, unknown>;
    const number = (key: string): number | undefined => (typeof raw[key] === "number" ? raw[key] : undefined);
    const info: FileInfo = {
        name: String(content["filename"] ?? content["body"] ?? "file"),
        type: typeof raw["mimetype"] === "string" ? raw["mimetype"] : "application/octet-stream",
        size: number("size") ?? 0,
        file,
    };
    const [width, height] = [number("w"), number("h")];
    if (width && height) Object.assign(info, { width, height });
    return info;
}

/** A body beside a filename is a caption (client-server API 1.10). */
function caption(content: Record<string, unknown>): string {
    const { body, filename } = content;
    return typeof body === "string" && typeof filename === "string" && body !== filename ? body : "";
}

function unreadable(event: MatrixEvent): Unreadable {
    switch (event.decryptionFailureReason) {
        case DecryptionFailureCode.MEGOLM_KEY_WITHHELD:
        case DecryptionFailureCode.MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE:
            return "withheld";
        case DecryptionFailureCode.HISTORICAL_MESSAGE_NO_KEY_BACKUP:
        case DecryptionFailureCode.HISTORICAL_MESSAGE_BACKUP_UNCONFIGURED:
        case DecryptionFailureCode.HISTORICAL_MESSAGE_WORKING_BACKUP:
        case DecryptionFailureCode.OLM_UNKNOWN_MESSAGE_INDEX:
            return "before";
        case DecryptionFailureCode.HISTORICAL_MESSAGE_USER_NOT_JOINED:
            return "left";
        case DecryptionFailureCode.SENDER_IDENTITY_PREVIOUSLY_VERIFIED:
        case DecryptionFailureCode.UNSIGNED_SENDER_DEVICE:
        case DecryptionFailureCode.UNKNOWN_SENDER_DEVICE:
            return "untrusted";
        case DecryptionFailureCode.UNKNOWN_ERROR:
            return "broken";
        default:
            return "waiting";
    }
}

function delivery(room: Room, event: MatrixEvent): Delivery {
    if (event.status === EventStatus.NOT_SENT || event.status === EventStatus.CANCELLED) return "failed";
    if (event.status !== null && event.status !== EventStatus.SENT) return "sending";
    const id = event.getId();
    const read =
        id !== undefined &&
        room.getJoinedMembers().some((member) => member.userId !== room.myUserId && room.hasUserReadEvent(member.userId, id));
    return read ? "read" : "sent";
}
