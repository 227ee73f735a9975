/** Login with the page's single-use token, and who that makes us. */
import type { Credentials } from "../../protocol.ts";
import type { Clock } from "./clock.ts";
import { failure, RequestFailed } from "./errors.ts";
import { Tokens, type TokenAnswer } from "./tokens.ts";

/** `GET /_vestibule/client/v1/me`. */
export interface Me {
    user_id: string;
    display_name: string;
    role: "host" | "participant" | "plain";
    chat_enabled: boolean;
    /** How long a file is kept, and a message of which the server says nothing else; milliseconds. */
    retention_ms: number;
    /** How long the account's text is kept, where everybody's in the room is kept that long; milliseconds. */
    text_retention_ms: number;
    inviter?: { user_id: string; display_name: string };
    session?: { ends_at: number };
    support?: { user_id: string; content: "transcript-until-purge" | "metadata-only" | "keep" };
}

/** One login: a device and its tokens. */
export interface Login {
    base: string;
    user_id: string;
    device_id: string;
    tokens: Tokens;
}

/** Logs in; with `device_id` the login takes over that device, whose keys this browser holds. */
export async function login(credentials: Credentials, device_id: string | undefined): Promise<Login> {
    const base = location.origin; // the widget comes from its homeserver, and its policy lets it talk to nobody else
    const response = await fetch(`${base}/_matrix/client/v3/login`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
            type: "m.login.token",
            token: credentials.login_token,
            refresh_token: true,
            initial_device_display_name: "Chat on the web page",
            ...(device_id === undefined ? {} : { device_id }),
        }),
    });
    if (!response.ok) throw await failure(response);
    const answer = (await response.json()) as TokenAnswer & { user_id: string; device_id: string };
    if (answer.user_id !== credentials.user_id) throw new RequestFailed(403, "M_FORBIDDEN", "the token is another user's");
    return { base, user_id: answer.user_id, device_id: answer.device_id, tokens: new Tokens(base, answer) };
}

/** Asks who we are; the answer's `Date` sets the clock. */
export async function fetchMe(login: Login, clock: Clock): Promise<Me> {
    const sent_at = Date.now();
    const response = await login.tokens.fetch(`${login.base}/_vestibule/client/v1/me`, { headers: { Authorization: "" } });
    if (!response.ok) throw await failure(response);
    clock.learn(response, sent_at, Date.now());
    return (await response.json()) as Me;
}

/** Ends a login for good. For a page that is going away. */
export function logout(login: Login): Promise<Response> {
    return lastWord(login, "POST", "/logout", {});
}

/** Says that the user is away, rather than let the others wait until the server notices. For a page that is going away. */
export function sayAway(login: Login): Promise<Response> {
    return lastWord(login, "PUT", `/presence/${encodeURIComponent(login.user_id)}/status`, { presence: "offline" });
}

/** A request that outlives the page. */
function lastWord({ base, tokens }: Login, method: string, path: string, body: unknown): Promise<Response> {
    return fetch(`${base}/_matrix/client/v3${path}`, {
        method,
        keepalive: true,
        headers: { Authorization: `Bearer ${tokens.accessToken}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
    });
}
