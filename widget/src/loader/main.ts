/**
 * Vestibule's loader: the one script tag of a host page. It puts the chat icon on the page, opens the framed page from
 * Vestibule's own origin, and hands it credentials. See widget/README.md for the attributes and the JavaScript interface.
 */
import { openEnvelope, seal, type ToFrame, type ToPage } from "../protocol.ts";
import { fetchCredentials, pick, Refused, type CredentialsFunction } from "./credentials.ts";
import { isSheet, Shell } from "./shell.ts";

/** The custom properties of the page that reach the frame, as `--vestibule-<name>`. */
const STYLE_NAMES = ["accent", "accent-ink", "surface", "surface-2", "ink", "ink-2", "line", "font", "radius"];
/** Long enough for a font list; nothing a style needs is longer. */
const STYLE_LENGTH_MAX = 200;

interface Options {
    credentials: string | CredentialsFunction;
    language?: string | undefined;
    direction?: string | undefined;
    theme?: string | undefined;
    side?: string | undefined;
    open?: boolean;
}

interface Api {
    /** Starts with options, when the script tag has no `data-credentials`. Does nothing the second time. */
    start(options: Options): void;
    /** Opens the window, on a tab if named. */
    open(tab?: "chats" | "support"): void;
    /** Closes the window. The chat stays connected. */
    close(): void;
    /** Takes icon, frame and connection off the page, e.g. when the user logs out. */
    stop(): void;
}

declare global {
    interface Window {
        vestibule?: Api;
    }
}

class Loader implements Api {
    private shell: Shell | undefined;
    private options: Options | undefined;
    private readonly origin: string;
    private readonly receive = (event: MessageEvent<unknown>): void => this.onMessage(event);
    private readonly restyle = (): void => this.configure();
    /** Pages change their language or theme on the root element. */
    private readonly watcher = new MutationObserver(this.restyle);

    constructor(private readonly script: string) {
        this.origin = new URL(script).origin;
    }

    start(options: Options): void {
        if (this.shell) return;
        this.options = options;
        const frame = new URL("frame.html", this.script);
        frame.search = new URLSearchParams({ page: location.origin }).toString();
        window.addEventListener("message", this.receive);
        this.shell = new Shell(frame.href, options.side, () => (this.shell?.open ? this.close() : this.open()));
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.restyle);
        this.watcher.observe(document.documentElement, { attributes: true });
    }

    open(tab?: "chats" | "support"): void {
        if (!this.shell) return;
        this.shell.setOpen(true);
        this.post(tab ? { kind: "opened", tab, sheet: isSheet() } : { kind: "opened", sheet: isSheet() });
    }

    close(): void {
        if (!this.shell?.open) return;
        this.shell.setOpen(false);
        this.post({ kind: "closed" });
    }

    stop(): void {
        window.removeEventListener("message", this.receive);
        matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.restyle);
        this.watcher.disconnect();
        this.shell?.host.remove();
        this.shell = undefined;
    }

    private post(message: ToFrame): void {
        this.shell?.frame.contentWindow?.postMessage(seal(message), this.origin);
    }

    private onMessage(event: MessageEvent<unknown>): void {
        if (!this.shell || event.origin !== this.origin || event.source !== this.shell.frame.contentWindow) return;
        const message = openEnvelope<ToPage>(event.data);
        switch (message?.kind) {
            case "hello":
                this.configure();
                if (this.options?.open) this.open();
                return;
            case "ask":
                return void this.answer(message.request);
            case "icon":
                this.shell.show(message);
                return this.tell("unread", { count: message.unread, icon: message.icon });
            case "close":
                return this.close();
            case "notify":
                return this.tell("message", { title: message.title });
        }
    }

    private async answer(request: number): Promise<void> {
        const source = this.options?.credentials;
        if (!source) return;
        try {
            const credentials = typeof source === "string" ? await fetchCredentials(source) : await source();
            this.post({ kind: "credentials", request, credentials: pick(credentials) });
        } catch (error) {
            this.post({ kind: "refused", request, status: error instanceof Refused ? error.status : 0 });
        }
    }

    /** Language, direction, theme and colours, as the page has them now. */
    private configure(): void {
        const shell = this.shell;
        if (!shell) return;
        const root = document.documentElement;
        const computed = getComputedStyle(shell.host);
        const style: Record<string, string> = {};
        for (const name of STYLE_NAMES) {
            const value = computed.getPropertyValue(`--vestibule-${name}`).trim();
            if (value && value.length <= STYLE_LENGTH_MAX) style[name] = value;
        }
        shell.paint(style["accent"], style["accent-ink"]);
        const theme = this.options?.theme;
        this.post({
            kind: "configure",
            language: this.options?.language ?? (root.lang || navigator.language),
            direction: (this.options?.direction ?? getComputedStyle(root).direction) === "rtl" ? "rtl" : "ltr",
            theme: theme === "light" || theme === "dark" ? theme : "auto",
            style,
        });
    }

    private tell(name: string, detail: Record<string, unknown>): void {
        window.dispatchEvent(new CustomEvent(`vestibule:${name}`, { detail }));
    }
}

function begin(script: HTMLScriptElement): void {
    if (window.vestibule) return;
    const loader = new Loader(script.src);
    window.vestibule = loader;
    const { credentials, language, direction, theme, side, open } = script.dataset;
    const start = (): void => {
        if (credentials) loader.start({ credentials, language, direction, theme, side, open: open !== undefined });
        window.dispatchEvent(new CustomEvent("vestibule:loaded"));
    };
    if (document.body) start();
    else addEventListener("DOMContentLoaded", start, { once: true });
}

if (document.currentScript instanceof HTMLScriptElement) begin(document.currentScript);
