/** An open chat. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { App } from "../app.ts";
import type { Desk, OpenChat } from "../chat/desk.ts";
import { lifetime } from "../chat/lifetime.ts";
import { hasEnded, isDeserted, isSupportOpen, others, title, type Contact } from "../chat/rooms.ts";
import { PATIENCE_MS, waitingSince } from "../support/support.ts";
import { longDuration, t } from "../text/index.ts";
import { Avatar } from "./Avatar.tsx";
import { rowOnline } from "./ChatList.tsx";
import { Composer } from "./Composer.tsx";
import { DropArea } from "./DropArea.tsx";
import { Icon } from "./icons.tsx";
import { MessageList } from "./MessageList.tsx";
import { supportSentence } from "./SupportTab.tsx";
import { UploadList } from "./UploadList.tsx";

interface Props {
    app: App;
    desk: Desk;
    open: OpenChat;
}

export function Chat({ app, desk, open }: Props): JSX.Element {
    const { room } = open;
    void desk.rows.value; // names and members change with the rows
    const people = others(room, desk.me.user_id);
    const name = title(room, desk.me.user_id);
    const dropping = useSignal(false);
    const ids = people.map((person) => person.user_id).join(" ");
    useEffect(() => (ids ? desk.presence.watch(ids.split(" ")) : undefined), [ids, app.openings.value]);
    const send = (files: readonly File[]): void => {
        dropping.value = false;
        void open.uploads.send(files);
    };
    const onDragEnter = (event: DragEvent): void => {
        if (event.dataTransfer?.types.includes("Files")) dropping.value = true;
    };
    const ended = open.support && !isSupportOpen(room, desk.me.support?.user_id);
    const deserted = !open.support && isDeserted(room, desk.me.user_id);
    const over = !open.support && hasEnded(room);
    // Switched off while it is open, a chat stays to be read; support is reached as ever.
    const off = !open.support && !app.chatEnabled.value;
    const closed = ended || deserted || over || off;
    const foot = (): JSX.Element => {
        if (ended) return <Ended app={app} desk={desk} />;
        if (deserted)
            return (
                <p class="note" role="status" data-testid="chat-ended">
                    {t("chatEnded", { name })}
                </p>
            );
        if (over)
            return (
                <p class="note" role="status" data-testid="session-ended">
                    {t("sessionEnded", { name })}
                </p>
            );
        if (off)
            return (
                <p class="note" role="status" data-testid="chat-off">
                    {t("chatOff")}
                </p>
            );
        return <Composer desk={desk} open={open} name={name} send={send} />;
    };
    return (
        <div class="fill" data-testid="chat" onDragEnter={onDragEnter}>
            <ChatBar
                app={app}
                desk={desk}
                people={people}
                name={name}
                dropping={dropping.value}
                toggle={() => (dropping.value = !dropping.value)}
                ended={closed}
            />
            <main class="fill">
                {dropping.value && !closed && (
                    <DropArea lifetime_ms={desk.me.retention_ms} send={send} close={() => (dropping.value = false)} />
                )}
                <Notices desk={desk} open={open} people={people} />
                <MessageList app={app} desk={desk} open={open}>
                    <p class="promise">
                        <Icon name="lock" />
                        {t("encryptedNote", { lifetime: longDuration(lifetime(open.room, desk.me)) })}{" "}
                        {desk.me.role === "host" && !open.support ? t("recordsNote") : ""}
                    </p>
                </MessageList>
                <UploadList uploads={open.uploads} />
                <Typing names={open.timeline.typing.value} />
                {foot()}
            </main>
        </div>
    );
}

interface BarProps {
    app: App;
    desk: Desk;
    people: readonly Contact[];
    name: string;
    dropping: boolean;
    toggle(): void;
    ended: boolean;
}

function ChatBar({ app, desk, people, name, dropping, toggle, ended }: BarProps): JSX.Element {
    const online = rowOnline(desk, { people: [...people] });
    return (
        <header class="bar">
            <button type="button" class="plain flip" aria-label={t("back")} data-testid="back" onClick={() => desk.hide()}>
                <Icon name="back" />
            </button>
            <Avatar small user_id={people[0]?.user_id ?? ""} name={name} online={online} />
            <div class="names">
                <h1 data-testid="chat-title">{name}</h1>
                {online !== undefined && <p class="note">{online ? t("online") : t("offline")}</p>}
            </div>
            {!ended && (
                <button
                    type="button"
                    class="plain"
                    aria-label={t("sendFile")}
                    title={t("sendFile")}
                    aria-expanded={dropping}
                    data-testid="file-icon"
                    onClick={toggle}
                >
                    <Icon name="file" />
                </button>
            )}
            <button type="button" class="plain" aria-label={t("closeChat")} onClick={() => app.close()}>
                <Icon name="close" />
            </button>
        </header>
    );
}

/** What one should know before writing: nobody is there, or who reads. */
function Notices({ desk, open, people }: { desk: Desk; open: OpenChat; people: readonly Contact[] }): JSX.Element {
    const support = desk.me.support?.user_id;
    const online = desk.presence.online.value;
    const read = !isDeserted(open.room, desk.me.user_id) && !hasEnded(open.room);
    const nobody = !open.support && read && people.every((person) => online.get(person.user_id) === false);
    void open.timeline.messages.value; // the wait ends with the first answer
    const since = open.support && support ? waitingSince(open.room, support) : undefined;
    const slow = since !== undefined && desk.clock.now.value - since > PATIENCE_MS;
    return (
        <div role="status" class="notices">
            {nobody && (
                <p class="notice" data-testid="offline-notice">
                    <Icon name="clock" /> {t("noContactOnline")}
                </p>
            )}
            {open.support && (
                <p class="notice">
                    <Icon name="key" /> {supportSentence(desk.me)}
                </p>
            )}
            {slow && (
                <p class="notice" data-testid="support-slow">
                    <Icon name="clock" /> {t("supportSlow")}
                </p>
            )}
        </div>
    );
}

function Typing({ names }: { names: readonly string[] }): JSX.Element {
    const sentence = names.length === 0 ? "" : names.length === 1 ? t("typingOne", { name: names[0] ?? "" }) : t("typingMany");
    return (
        <p class="typing" data-testid="typing">
            {sentence && (
                <>
                    <span class="dots" aria-hidden="true">
                        <i />
                        <i />
                        <i />
                    </span>
                    {sentence}
                </>
            )}
        </p>
    );
}

/** Support has closed the ticket. */
function Ended({ app, desk }: { app: App; desk: Desk }): JSX.Element {
    const again = (): void => {
        app.tab.value = "support";
        desk.hide();
    };
    return (
        <div class="ended" role="status" data-testid="support-ended">
            <p>{t("supportEnded")}</p>
            <button type="button" class="secondary" data-focus onClick={again}>
                {t("supportAgain")}
            </button>
        </div>
    );
}
