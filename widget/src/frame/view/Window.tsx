/** The whole window: what there is to say before a connection, and the desk after. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { App } from "../app.ts";
import { t } from "../text/index.ts";
import { Chat } from "./Chat.tsx";
import { Home } from "./Home.tsx";
import { Icon } from "./icons.tsx";
import { LiveRegion } from "./LiveRegion.tsx";

export function Window({ app }: { app: App }): JSX.Element {
    const root = useRef<HTMLDivElement>(null);
    const openings = app.openings.value;
    const opened = app.opened.value;
    const view = app.desk.value ? (app.desk.value.open.value?.room.roomId ?? "home") : "before";
    useEffect(() => {
        if (opened) focusFirst(root.current);
    }, [openings, opened, view]);
    const onKeyDown = (event: KeyboardEvent): void => {
        if (event.key === "Escape" && !event.defaultPrevented) app.close();
    };
    return (
        <div class="window" ref={root} tabIndex={-1} onKeyDown={onKeyDown}>
            <Content app={app} />
            <Connection app={app} />
            <LiveRegion app={app} />
        </div>
    );
}

function Content({ app }: { app: App }): JSX.Element {
    const desk = app.desk.value;
    const open = desk?.open.value;
    if (desk && open) return <Chat key={open.room.roomId} app={app} desk={desk} open={open} />;
    if (desk) return <Home app={app} desk={desk} />;
    return <Before app={app} />;
}

/** No connection: connecting, in another tab, over, or failed. */
function Before({ app }: { app: App }): JSX.Element {
    const phase = app.session.phase.value;
    const sentence = {
        starting: t("starting"),
        ready: t("starting"),
        elsewhere: t("elsewhere"),
        over: t("over"),
        failed:
            phase.kind === "failed"
                ? t(({ offline: "failedOffline", identity: "failedIdentity", other: "failedOther" } as const)[phase.reason])
                : "",
    }[phase.kind];
    const busy = phase.kind === "starting" || phase.kind === "ready";
    return (
        <>
            <header class="bar">
                <h1>{t("chat")}</h1>
                <button type="button" class="plain" aria-label={t("closeChat")} onClick={() => app.close()}>
                    <Icon name="close" />
                </button>
            </header>
            <main class="before" data-testid="before" data-phase={phase.kind}>
                {busy ? (
                    <span class="spinner" />
                ) : (
                    <Icon name={phase.kind === "elsewhere" ? "chat" : phase.kind === "over" ? "lock" : "warning"} class="large" />
                )}
                <p role="status">{sentence}</p>
                {phase.kind === "elsewhere" && (
                    <button type="button" class="primary" onClick={() => void app.session.takeOver()}>
                        {t("useHere")}
                    </button>
                )}
            </main>
        </>
    );
}

/** The strip at the bottom while the server can't be reached. */
function Connection({ app }: { app: App }): JSX.Element {
    const lost = app.desk.value !== undefined && !app.session.online.value;
    return (
        <div role="status" class={lost ? "connection lost" : "connection"}>
            {lost && (
                <>
                    <Icon name="away" /> {t("connectionLost")}
                </>
            )}
        </div>
    );
}

/** Into the field or button one came for; on a touch screen to the window itself, so that no keyboard jumps up. */
function focusFirst(root: HTMLElement | null): void {
    if (matchMedia("(pointer: coarse)").matches) return root?.focus();
    const wanted = root?.querySelector<HTMLElement>("[data-focus]") ?? root?.querySelector<HTMLElement>("main button, button");
    wanted?.focus();
}
