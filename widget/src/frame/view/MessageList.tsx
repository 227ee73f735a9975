/** The messages of a chat, kept at the end while one reads there. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { App } from "../app.ts";
import type { Desk, OpenChat } from "../chat/desk.ts";
import type { Message } from "../chat/message.ts";
import type { Timeline } from "../chat/timeline.ts";
import { t } from "../text/index.ts";
import { Bubble } from "./Bubble.tsx";
import { Icon } from "./icons.tsx";

/** Nearer to the end than this counts as reading there. */
const END_PX = 48;
/** A window with fewer lines fetches older ones by itself. */
const LINES_MIN = 15;
/** Messages of one person within this time share one name. */
const GROUP_MS = 5 * 60_000;

interface Props {
    app: App;
    desk: Desk;
    open: OpenChat;
    children: ComponentChildren;
}

export function MessageList({ app, desk, open, children }: Props): JSX.Element {
    const { timeline } = open;
    const box = useRef<HTMLDivElement>(null);
    const atEnd = useSignal(true);
    const messages = timeline.messages.value;
    const last = messages[messages.length - 1];
    const { older, loading } = useOlder(box, timeline, () => atEnd.value);
    useLayoutEffect(() => {
        if (box.current && (atEnd.value || last?.mine)) box.current.scrollTop = box.current.scrollHeight;
    }, [last?.key]);
    useStayAtEnd(box, () => atEnd.value);
    useMarkRead(app, open, atEnd.value);
    const onScroll = (): void => {
        const view = box.current;
        if (!view) return;
        atEnd.value = view.scrollHeight - view.scrollTop - view.clientHeight < END_PX;
        if (view.scrollTop < END_PX && !atEnd.value) void older();
    };
    return (
        <div class="messages-frame">
            <div
                class="messages"
                ref={box}
                onScroll={onScroll}
                tabIndex={0}
                role="region"
                aria-label={t("messages")}
                data-testid="messages"
            >
                {timeline.more.value && messages.length > 0 && (
                    <button type="button" class="secondary older" aria-disabled={loading} onClick={() => void older()}>
                        {t("older")}
                    </button>
                )}
                {!timeline.more.value || messages.length === 0 ? children : null}
                <ol>
                    {messages.map((message, at) => (
                        <Bubble
                            key={message.key}
                            desk={desk}
                            open={open}
                            message={message}
                            first={!continues(messages[at - 1], message)}
                        />
                    ))}
                </ol>
            </div>
            {!atEnd.value && messages.length > 0 && (
                <button
                    type="button"
                    class="jump"
                    aria-label={t("newMessages")}
                    onClick={() => box.current?.scrollTo({ top: box.current.scrollHeight })}
                >
                    <Icon name="down" />
                </button>
            )}
        </div>
    );
}

/** Fetches older messages without moving what is being read. */
function useOlder(
    box: { current: HTMLElement | null },
    timeline: Timeline,
    atEnd: () => boolean,
): { older(): Promise<void>; loading: boolean } {
    const loading = useSignal(false);
    const older = async (): Promise<void> => {
        if (loading.value || !timeline.more.value) return;
        loading.value = true;
        const height = box.current?.scrollHeight ?? 0;
        try {
            await timeline.loadMore();
        } catch {
            // offline: the button stays
        } finally {
            loading.value = false;
            requestAnimationFrame(() => {
                if (box.current && !atEnd()) box.current.scrollTop += box.current.scrollHeight - height;
            });
        }
    };
    useEffect(() => {
        if (timeline.messages.value.length < LINES_MIN) void older();
    }, [timeline]);
    return { older, loading: loading.value };
}

function continues(before: Message | undefined, message: Message): boolean {
    return (
        before !== undefined &&
        before.sender === message.sender &&
        before.senderName === message.senderName &&
        message.sent_at - before.sent_at < GROUP_MS
    );
}

/** Pictures that finish loading, and the window that changes its height, must not push the end out of sight. */
function useStayAtEnd(box: { current: HTMLElement | null }, atEnd: () => boolean): void {
    useEffect(() => {
        const view = box.current;
        const list = view?.querySelector("ol");
        if (!view || !list) return undefined;
        const observer = new ResizeObserver(() => {
            if (atEnd()) view.scrollTop = view.scrollHeight;
        });
        observer.observe(list);
        observer.observe(view);
        return () => observer.disconnect();
    }, []);
}

/** What is on the screen is read: window open, tab in front, list at its end. */
function useMarkRead(app: App, open: OpenChat, atEnd: boolean): void {
    const opened = app.opened.value;
    const messages = open.timeline.messages.value;
    useEffect(() => {
        const mark = (): void => {
            if (opened && atEnd && document.visibilityState === "visible") open.timeline.markRead().catch(() => {}); // tried again with the next message
        };
        mark();
        document.addEventListener("visibilitychange", mark);
        return () => document.removeEventListener("visibilitychange", mark);
    }, [messages, opened, atEnd]);
}
