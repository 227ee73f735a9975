/**
 * What the loader on the host page and the framed page say to each other by `postMessage`.
 *
 * Both sides check the origin and the window of every message, and never post to `"*"`.
 */

/** What the page's back end hands out for one user. The names are those of the platform API. */
export interface Credentials {
    /** The Matrix user the token is for, e.g. `@h_1:example.org`. */
    user_id: string;
    /** A single-use token for `m.login.token`, alive for about a minute. */
    login_token: string;
    /** The user's secret storage recovery key (`EsT…`), from the answer to provisioning. */
    recovery_key: string;
}

/** Which of the three kinds of icon the page shows. */
export type Icon = "chat" | "support" | "none";

/** From the loader to the framed page. */
export type ToFrame =
    | {
          kind: "configure";
          language: string;
          direction: "ltr" | "rtl";
          theme: "light" | "dark" | "auto";
          style: Record<string, string>;
      }
    | { kind: "credentials"; request: number; credentials: Credentials }
    | { kind: "refused"; request: number; status: number }
    | { kind: "opened"; tab?: "chats" | "support"; sheet: boolean }
    | { kind: "closed" };

/** From the framed page to the loader. */
export type ToPage =
    | { kind: "hello" }
    | { kind: "ask"; request: number }
    | { kind: "icon"; icon: Icon; unread: number; label: string; closeLabel: string; panelLabel: string }
    | { kind: "close" }
    | { kind: "notify"; title: string };

/** The envelope, so that a message of somebody else's library is never mistaken for ours. */
export interface Envelope<T> {
    vestibule: 1;
    message: T;
}

/** The message inside `data`, if it is one of ours. */
export function openEnvelope<T>(data: unknown): T | undefined {
    if (typeof data !== "object" || data === null) return undefined;
    const envelope = data as Partial<Envelope<T>>;
    return envelope.vestibule === 1 ? envelope.message : undefined;
}

/** Wraps a message for `postMessage`. */
export function seal<T>(message: T): Envelope<T> {
    return { vestibule: 1, message };
}
