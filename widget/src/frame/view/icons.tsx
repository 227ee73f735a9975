/** The icons, drawn in the colour of their text. */
import type { JSX } from "preact";

const PATHS = {
    back: "M15.5 4.5 8 12l7.5 7.5",
    close: "M6 6l12 12M18 6 6 18",
    file: "M20 11.5 12.2 19.3a5 5 0 0 1-7.1-7.1l8.2-8.2a3.3 3.3 0 0 1 4.7 4.7l-8.1 8.1a1.7 1.7 0 0 1-2.4-2.4l7.4-7.4",
    send: "M4.5 12 20 4.5 15.5 20l-3.7-6.2L4.5 12ZM11.8 13.8 20 4.5",
    document: "M7 3h7l4 4v14H7a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1ZM14 3v4h4",
    download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
    lock: "M7 11h10a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1ZM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
    clock: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17ZM12 7.5V12l3 2",
    check: "M5 12.5 10 17.5 19 7",
    checks: "M2.5 12.5 7 17 15 8M10.5 15.5 12 17l9-9",
    warning: "M12 4 21 19.5H3L12 4ZM12 10v4.5M12 17v.3",
    support:
        "M5 14v-2a7 7 0 0 1 14 0v2M5 13.5h2v5H6a1 1 0 0 1-1-1v-4ZM19 13.5h-2v5h1a1 1 0 0 0 1-1v-4ZM17.5 18.5c0 1.5-2 2.5-4.5 2.5",
    chat: "M12 4c4.7 0 8.5 3.1 8.5 7s-3.8 7-8.5 7c-.9 0-1.7-.1-2.5-.3L5 20l1-3.7C4.4 15 3.5 13.1 3.5 11c0-3.9 3.8-7 8.5-7Z",
    away: "M4 4l16 16M8.5 8.5A6 6 0 0 0 6 13M18 13a6 6 0 0 0-6.5-6M9 16a4 4 0 0 1 6 0M12 19.5v.3",
    key: "M14.5 4.5a5 5 0 1 1-3.6 8.5L9 15v2H7v2H4v-3l5.5-5.5a5 5 0 0 1 5-6ZM16 8v.2",
    down: "M6 10l6 6 6-6",
};

export function Icon({ name, class: className = "" }: { name: keyof typeof PATHS; class?: string }): JSX.Element {
    return (
        <svg class={`icon ${className}`} viewBox="0 0 24 24" aria-hidden="true">
            <path d={PATHS[name]} />
        </svg>
    );
}
