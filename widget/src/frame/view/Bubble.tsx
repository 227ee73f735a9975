/** One message: who, what, when, and how long it lasts. */
import type { ComponentChildren, JSX } from "preact";
import type { Desk, OpenChat } from "../chat/desk.ts";
import type { Delivery, Message, Unreadable } from "../chat/message.ts";
import { discard, sendAgain } from "../chat/send.ts";
import { shortDuration, t, timeOf } from "../text/index.ts";
import { FileCard } from "./FileCard.tsx";
import { Icon } from "./icons.tsx";
import { linked } from "./links.tsx";

interface Props {
    desk: Desk;
    open: OpenChat;
    message: Message;
    /** The first of a run of the same person: the name is shown to the eye too. */
    first: boolean;
}

const WHY: Record<Unreadable, Parameters<typeof t>[0]> = {
    waiting: "unreadableWaiting",
    withheld: "unreadableWithheld",
    before: "unreadableBefore",
    left: "unreadableLeft",
    untrusted: "unreadableUntrusted",
    broken: "unreadableBroken",
};

export function Bubble({ desk, open, message, first }: Props): JSX.Element {
    const { mine, body, delivery } = message;
    const failed = mine && delivery === "failed";
    return (
        <li
            class={`message${mine ? " mine" : ""}${first ? " first" : ""}${failed ? " failed" : ""}`}
            data-testid="message"
            data-delivery={delivery}
        >
            <span class={first && !mine ? "sender" : "hidden"} data-testid="sender">
                {mine ? t("you") : message.senderName}
            </span>
            <div class={`bubble ${body.kind}`}>
                <Content desk={desk} message={message} />
            </div>
            <Meta desk={desk} message={message} />
            {failed && (
                <p class="failure" role="alert">
                    <Icon name="warning" /> {t("notSent")}{" "}
                    <button
                        type="button"
                        class="link"
                        data-testid="try-again"
                        onClick={() => void sendAgain(desk.client, open.room, message.event).catch(() => {})}
                    >
                        {t("tryAgain")}
                    </button>{" "}
                    <button type="button" class="link" onClick={() => discard(desk.client, message.event)}>
                        {t("discard")}
                    </button>
                </p>
            )}
        </li>
    );
}

function Content({ desk, message }: { desk: Desk; message: Message }): ComponentChildren {
    const { body } = message;
    switch (body.kind) {
        case "text":
            return (
                <p dir="auto" data-testid="text">
                    {linked(body.text)}
                </p>
            );
        case "file":
            return (
                <>
                    <FileCard downloads={desk.downloads} info={body.info} />
                    {body.caption && <p dir="auto">{linked(body.caption)}</p>}
                </>
            );
        case "unreadable": {
            const reason = body.reason === "before" && !desk.keysReady.value ? "waiting" : body.reason;
            return (
                <p class="why" data-testid="unreadable" data-reason={reason}>
                    <Icon name="key" /> {t(WHY[reason])}
                </p>
            );
        }
        case "unknown":
            return <p class="why">{t("unknownMessage")}</p>;
    }
}

const STATE: Record<Delivery, { icon: "clock" | "check" | "checks" | "warning"; text: Parameters<typeof t>[0] }> = {
    sending: { icon: "clock", text: "sending" },
    sent: { icon: "check", text: "sent" },
    read: { icon: "checks", text: "read" },
    failed: { icon: "warning", text: "notSent" },
};

function Meta({ desk, message }: { desk: Desk; message: Message }): JSX.Element {
    const now = desk.clock.now.value;
    const state = STATE[message.delivery];
    return (
        <p class="meta">
            <time dateTime={new Date(message.sent_at).toISOString()}>{timeOf(message.sent_at, now)}</time>
            {message.edited && <span>{t("edited")}</span>}
            {message.delivery !== "failed" && (
                <span data-testid="deleted-in">{t("deletedIn", { left: shortDuration(message.expires_at - now) })}</span>
            )}
            {message.mine && message.delivery !== "failed" && (
                <span class={`delivery ${message.delivery}`} title={t(state.text)}>
                    <Icon name={state.icon} />
                    <span class="hidden">{t(state.text)}</span>
                </span>
            )}
        </p>
    );
}
