/** The icon and the frame on the host page, inside a shadow root so that the page's styles stay out. */
import type { Icon } from "../protocol.ts";

const CHAT =
    "M12 3c5 0 9 3.4 9 7.7 0 4.2-4 7.6-9 7.6-.9 0-1.8-.1-2.6-.3L4.6 20.6c-.4.2-.8-.1-.7-.6l.8-4.1C3.6 14.5 3 12.7 3 10.7 3 6.4 7 3 12 3Z";
const HELP =
    "M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19Zm0 14.8a1.2 1.2 0 1 1 0-2.4 1.2 1.2 0 0 1 0 2.4Zm1-4.6v.4h-2v-1.2c0-.5.3-.9.7-1.2.9-.5 1.7-.9 1.7-1.8 0-.8-.6-1.3-1.4-1.3-.8 0-1.4.5-1.5 1.3H8.4c.1-2 1.6-3.3 3.6-3.3s3.5 1.2 3.5 3.2c0 1.9-1.6 2.7-2.5 3.4v.5Z";
const CLOSE = "M6.3 5 12 10.6 17.7 5 19 6.3 13.4 12l5.6 5.7-1.3 1.3L12 13.4 6.3 19 5 17.7 10.6 12 5 6.3 6.3 5Z";

const STYLE = `
:host{all:initial;position:fixed;z-index:var(--vestibule-z,2147483000);bottom:max(20px,env(safe-area-inset-bottom));right:20px;color-scheme:light dark}
:host([side=left]){right:auto;left:20px}
button{all:unset;box-sizing:border-box;display:grid;place-items:center;width:56px;height:56px;border-radius:50%;cursor:pointer;position:relative;background:var(--a,#0f766e);color:var(--i,#fff);box-shadow:0 6px 20px #0003,0 1px 3px #0003;transition:transform .15s}
button:hover{transform:scale(1.05)}
button:focus-visible{outline:3px solid var(--a,#0f766e);outline-offset:3px;box-shadow:0 0 0 3px #fff}
svg{width:28px;height:28px;fill:currentColor}
b{position:absolute;top:-4px;inset-inline-end:-4px;min-width:22px;height:22px;box-sizing:border-box;padding:0 6px;border-radius:11px;background:#b3261e;color:#fff;font:600 12px/22px system-ui,sans-serif;text-align:center;box-shadow:0 0 0 2px #fff}
b:empty,[hidden]{display:none!important}
iframe{position:absolute;bottom:72px;right:0;width:400px;height:min(640px,calc(100vh - 120px));height:min(640px,calc(100dvh - 120px));border:0;border-radius:20px;box-shadow:0 0 0 1px #8b9a9840,0 16px 48px #0004,0 2px 8px #0002;background:transparent;color-scheme:normal}
:host([side=left]) iframe{right:auto;left:0}
iframe.away{visibility:hidden;pointer-events:none}
@media (max-width:479px),(max-height:459px){iframe{position:fixed;inset:0;width:100%;height:100%;border-radius:0}:host([open]) button{display:none}}
@media (prefers-reduced-motion:reduce){button{transition:none}}
@media (forced-colors:active){button{border:2px solid ButtonText}}
@media print{:host{display:none}}
`;

/** True when the frame covers the whole window. */
export function isSheet(): boolean {
    return matchMedia("(max-width:479px),(max-height:459px)").matches;
}

/** What the icon shows, as the framed page said it. */
export interface Face {
    icon: Icon;
    unread: number;
    label: string;
    closeLabel: string;
    panelLabel: string;
}

/** The element on the page. It holds no state of its own but what is open. */
export class Shell {
    readonly host = document.createElement("vestibule-chat");
    readonly frame = document.createElement("iframe");
    private readonly button = document.createElement("button");
    private readonly path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    private readonly badge = document.createElement("b");
    private face: Face = { icon: "none", unread: 0, label: "Chat", closeLabel: "Close", panelLabel: "Chat" };
    open = false;

    constructor(address: string, side: string | undefined, toggle: () => void) {
        const root = this.host.attachShadow({ mode: "open" });
        const sheet = new CSSStyleSheet(); // unlike a style element it needs no leave from the page's content security policy
        sheet.replaceSync(STYLE);
        root.adoptedStyleSheets = [sheet];
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        svg.setAttribute("viewBox", "0 0 24 24");
        svg.setAttribute("aria-hidden", "true");
        svg.append(this.path);
        if (side === "left") this.host.setAttribute("side", "left");
        this.button.type = "button";
        this.button.append(svg, this.badge);
        this.button.addEventListener("click", toggle);
        this.badge.setAttribute("aria-hidden", "true");
        this.frame.src = address;
        this.frame.allow = "clipboard-write";
        root.append(this.frame, this.button);
        this.draw();
        document.body.append(this.host);
    }

    /** Shows what the framed page said. */
    show(face: Face): void {
        this.face = face;
        this.draw();
    }

    /** Opens or closes the frame; focus goes into it, and back to the icon. */
    setOpen(open: boolean): void {
        this.open = open;
        this.host.toggleAttribute("open", open);
        this.draw();
        if (open) this.frame.focus();
        else this.button.focus();
    }

    /** Colours of the icon. */
    paint(accent: string | undefined, ink: string | undefined): void {
        if (accent) this.host.style.setProperty("--a", accent);
        if (ink) this.host.style.setProperty("--i", ink);
    }

    private draw(): void {
        const { icon, unread, label, closeLabel, panelLabel } = this.face;
        this.button.hidden = icon === "none";
        this.frame.classList.toggle("away", !this.open);
        this.frame.title = panelLabel;
        if (this.open) this.frame.removeAttribute("inert");
        else this.frame.setAttribute("inert", "");
        this.path.setAttribute("d", this.open ? CLOSE : icon === "support" ? HELP : CHAT);
        this.badge.textContent = this.open || unread === 0 ? "" : unread > 99 ? "99+" : String(unread);
        this.button.setAttribute("aria-label", this.open ? closeLabel : label);
        this.button.setAttribute("aria-expanded", String(this.open));
    }
}
