/** The two tabs: Chats and Support. */
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { App, Tab } from "../app.ts";
import type { Desk } from "../chat/desk.ts";
import { t } from "../text/index.ts";
import { HostChats } from "./HostChats.tsx";
import { Icon } from "./icons.tsx";
import { ParticipantChats } from "./ParticipantChats.tsx";
import { SupportTab } from "./SupportTab.tsx";

export function Home({ app, desk }: { app: App; desk: Desk }): JSX.Element {
    const tab = app.tab.value;
    const chatEnabled = app.chatEnabled.value;
    return (
        <>
            <header class="bar">
                <h1>{chatEnabled ? t("chat") : t("tabSupport")}</h1>
                <button type="button" class="plain" aria-label={t("closeChat")} onClick={() => app.close()}>
                    <Icon name="close" />
                </button>
            </header>
            <main class="fill">
                {chatEnabled && <Tabs app={app} desk={desk} />}
                <div
                    class="home"
                    {...(chatEnabled ? { role: "tabpanel", id: `panel-${tab}`, "aria-labelledby": `tab-${tab}` } : {})}
                >
                    {tab === "support" ? (
                        <SupportTab app={app} desk={desk} />
                    ) : desk.me.role === "participant" ? (
                        <ParticipantChats desk={desk} />
                    ) : (
                        <HostChats desk={desk} />
                    )}
                </div>
            </main>
        </>
    );
}

const TABS: readonly Tab[] = ["chats", "support"];

function Tabs({ app, desk }: { app: App; desk: Desk }): JSX.Element {
    const list = useRef<HTMLDivElement>(null);
    const unread = (tab: Tab): number =>
        desk.rows.value.filter((row) => row.support === (tab === "support")).reduce((sum, row) => sum + row.unread, 0);
    const onKeyDown = (event: KeyboardEvent): void => {
        const step = { ArrowRight: 1, ArrowLeft: -1, Home: 0, End: 0 }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        const other: Tab =
            event.key === "Home" ? "chats" : event.key === "End" ? "support" : app.tab.value === "chats" ? "support" : "chats";
        app.tab.value = other;
        list.current?.querySelector<HTMLElement>(`#tab-${other}`)?.focus();
    };
    return (
        <div role="tablist" class="tabs" aria-label={t("tabs")} ref={list} onKeyDown={onKeyDown}>
            {TABS.map((tab) => {
                const selected = app.tab.value === tab;
                return (
                    <button
                        key={tab}
                        type="button"
                        role="tab"
                        id={`tab-${tab}`}
                        aria-selected={selected}
                        {...(selected ? { "aria-controls": `panel-${tab}` } : {})}
                        tabIndex={selected ? 0 : -1}
                        onClick={() => (app.tab.value = tab)}
                    >
                        {tab === "chats" ? t("tabChats") : t("tabSupport")}
                        {unread(tab) > 0 && <b class="badge">{unread(tab)}</b>}
                    </button>
                );
            })}
        </div>
    );
}
