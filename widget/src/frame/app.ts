/** The frame's state: the page around it, the session, the desk of the running connection. */
import { computed, effect, signal, untracked, type Signal } from "@preact/signals";
import type { Icon, ToFrame } from "../protocol.ts";
import { Desk } from "./chat/desk.ts";
import { Page, type PageListener } from "./page.ts";
import { Session } from "./session/session.ts";
import { Support } from "./support/support.ts";
import { language, plural, shown, t } from "./text/index.ts";
import { applyTheme } from "./theme.ts";

export type Tab = "chats" | "support";

export class App implements PageListener {
    readonly page = new Page(this);
    readonly session = new Session(this.page);
    readonly desk: Signal<Desk | undefined> = signal(undefined);
    readonly support: Signal<Support | undefined> = signal(undefined);
    readonly tab: Signal<Tab> = signal("chats");
    /** Whether the window is open on the page. */
    readonly opened = signal(false);
    /** Counts openings, so that views can move the focus. */
    readonly openings = signal(0);
    private readonly dark = matchMedia("(prefers-color-scheme: dark)");
    private configuration: Extract<ToFrame, { kind: "configure" }> | undefined;

    /** Whether chat is on for this user; support stays when it isn't. */
    readonly chatEnabled = computed(() => this.session.me.value?.chat_enabled ?? true);

    constructor() {
        this.dark.addEventListener("change", () => this.paint());
        effect(() => this.followConnection());
        effect(() => this.tellIcon());
        effect(() => this.tellArrival());
        effect(() => {
            if (!this.chatEnabled.value) this.tab.value = "support";
        });
    }

    start(): void {
        void this.session.start();
    }

    configure(configuration: Extract<ToFrame, { kind: "configure" }>): void {
        this.configuration = configuration;
        language.value = configuration.language;
        const root = document.documentElement;
        root.lang = shown.value;
        root.dir = configuration.direction;
        this.paint();
    }

    open({ tab }: Extract<ToFrame, { kind: "opened" }>): void {
        if (tab && this.chatEnabled.value) {
            this.tab.value = tab;
            this.desk.value?.hide();
        }
        this.opened.value = true;
        this.openings.value++;
        if (this.session.phase.value.kind === "elsewhere") void this.session.takeOver();
    }

    closed(): void {
        this.opened.value = false;
    }

    /** Closes the window on the page. */
    close(): void {
        this.page.send({ kind: "close" });
    }

    private paint(): void {
        const { theme = "auto", style = {} } = this.configuration ?? {};
        applyTheme(theme === "auto" ? (this.dark.matches ? "dark" : "light") : theme, style);
    }

    private followConnection(): void {
        const connection = this.session.connection.value;
        untracked(() => {
            this.desk.value?.close();
            const me = this.session.me.value;
            const about = me && computed(() => this.session.me.value ?? me);
            const desk =
                connection && about
                    ? new Desk(connection.client, connection.login, about, this.session.clock, this.session.keysReady)
                    : undefined;
            this.desk.value = desk;
            this.support.value = desk && me?.support ? new Support(desk) : undefined;
        });
    }

    private icon(): Icon {
        const phase = this.session.phase.value.kind;
        const me = this.session.me.value;
        if (!me) return phase === "elsewhere" ? "chat" : "none";
        if (me.chat_enabled) return "chat";
        return me.support ? "support" : "none";
    }

    private tellIcon(): void {
        const elsewhere = this.session.phase.value.kind === "elsewhere";
        const unread = elsewhere ? this.session.unreadElsewhere.value : (this.desk.value?.unread.value ?? 0);
        if (!elsewhere) this.session.tellUnread(unread);
        const icon = this.icon();
        const label = icon === "support" ? t("openSupport") : unread > 0 ? plural("openChatUnread", unread) : t("openChat");
        this.page.send({
            kind: "icon",
            icon,
            unread,
            label,
            closeLabel: t("closeChat"),
            panelLabel: icon === "support" ? t("tabSupport") : t("chat"),
        });
    }

    /** The page may want to ring a bell. It learns who wrote, never what. */
    private tellArrival(): void {
        const arrived = this.desk.value?.arrived.value;
        if (!arrived) return;
        const { room, event } = arrived;
        this.page.send({ kind: "notify", title: room.getMember(event.getSender() ?? "")?.rawDisplayName ?? "" });
    }
}
