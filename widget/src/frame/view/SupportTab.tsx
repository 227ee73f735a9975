/** The Support tab: a chat if an agent is there, else a form; and who can read it. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { App } from "../app.ts";
import type { Desk } from "../chat/desk.ts";
import type { Me } from "../session/login.ts";
import type { Support } from "../support/support.ts";
import { t } from "../text/index.ts";
import { ChatList } from "./ChatList.tsx";
import { Complaint } from "./Complaint.tsx";
import { Icon } from "./icons.tsx";
import { LaunchButton, useLaunch } from "./Launch.tsx";

const CONTENT = { "transcript-until-purge": "supportPurge", "metadata-only": "supportMetadata", keep: "supportKeep" } as const;

/** What happens to what is written to support. */
export function supportSentence(me: Me): string {
    const content = me.support?.content;
    return content ? `${t("supportReads")} ${t(CONTENT[content])}` : t("supportReads");
}

export function SupportTab({ app, desk }: { app: App; desk: Desk }): JSX.Element {
    const support = app.support.value;
    const user_id = support?.user_id;
    useEffect(() => (user_id ? desk.presence.watch([user_id]) : undefined), [user_id]);
    if (!support) return <p class="card note">{t("noSupport")}</p>;
    const available = support.isAvailable();
    const current = support.current();
    const earlier = desk.rows.value.filter((row) => row.support && row.live && row.room !== current);
    return (
        <>
            <section class="card person" aria-labelledby="support-title">
                <span class="emblem">
                    <Icon name="support" />
                </span>
                <h2 id="support-title">{t("supportTitle")}</h2>
                <p>{t("supportIntro")}</p>
                <p class={available ? "state online" : "state"} role="status" data-testid="support-state">
                    {available ? t("supportOnline") : t("supportOffline")}
                </p>
                <Way desk={desk} support={support} available={available} />
            </section>
            {earlier.length > 0 && (
                <section aria-labelledby="support-chats">
                    <h2 id="support-chats">{t("openChats")}</h2>
                    <ChatList desk={desk} rows={earlier} />
                </section>
            )}
            <p class="promise" data-testid="support-reads">
                <Icon name="key" />
                {supportSentence(desk.me)}
            </p>
        </>
    );
}

/** The button if somebody is there or a chat goes on; else the form. */
function Way({ desk, support, available }: { desk: Desk; support: Support; available: boolean }): JSX.Element {
    const launch = useLaunch();
    const current = desk.rows.value.find((row) => row.room === support.current() && row.live);
    return (
        <>
            {(available || current) && (
                <LaunchButton
                    launch={launch}
                    open={() => support.launch()}
                    label={current ? t("continueSupport") : t("launchSupport")}
                    testid="launch-support"
                />
            )}
            {!available && !current && <LeaveMessage support={support} />}
            <p role="status" class="fresh">
                {support.sending.value.kind === "sent" ? t("leaveMessageSent") : ""}
            </p>
            <Complaint error={launch.error.value} />
        </>
    );
}

function LeaveMessage({ support }: { support: Support }): JSX.Element {
    const sending = support.sending.value;
    return (
        <form
            class="leave"
            data-testid="leave-message"
            onSubmit={(event) => {
                event.preventDefault();
                void support.leaveMessage();
            }}
        >
            <h3>{t("leaveMessage")}</h3>
            <p class="note" id="leave-hint">
                {t("leaveMessageHint")}
            </p>
            <label for="leave-text">{t("leaveMessageLabel")}</label>
            <textarea
                id="leave-text"
                rows={4}
                required
                data-focus
                aria-describedby="leave-hint"
                value={support.draft.value}
                onInput={(event) => (support.draft.value = event.currentTarget.value)}
            />
            <button type="submit" class="primary wide" aria-disabled={sending.kind === "busy" || !support.draft.value.trim()}>
                {sending.kind === "busy" ? <span class="spinner" /> : null}
                {t("leaveMessageSend")}
            </button>
            <Complaint error={sending.kind === "failed" ? sending.error : undefined} />
        </form>
    );
}
