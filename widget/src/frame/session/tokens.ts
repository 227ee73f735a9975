/**
 * Access and refresh token of one login, in memory only.
 *
 * matrix-js-sdk 43 refreshes tokens of OAuth logins only, so the widget does it itself for `m.login.token`
 * (client-server API, "Refreshing access tokens"): ahead of the expiry, and once more when a request is answered
 * 401 `M_UNKNOWN_TOKEN` with `soft_logout`.
 */
import { failure, RequestFailed } from "./errors.ts";

/** Refreshed this long before it expires. */
const EARLY_MS = 30_000;

/** The token part of the answers to `/login` and `/refresh`. */
export interface TokenAnswer {
    access_token: string;
    refresh_token?: string;
    expires_in_ms?: number;
}

export class Tokens {
    private access: string;
    private refresh_: string | undefined;
    private expires_at = Infinity;
    private refreshing: Promise<void> | undefined;
    /** Called with each new access token. */
    onAccess: (token: string) => void = () => {};

    constructor(
        private readonly base: string,
        answer: TokenAnswer,
    ) {
        this.access = answer.access_token;
        this.take(answer);
    }

    get accessToken(): string {
        return this.access;
    }

    /** `fetch` with the current token in place of whatever the caller put in; the homeserver's answers only. */
    readonly fetch: typeof globalThis.fetch = async (input, init) => {
        const request = new URL(input instanceof Request ? input.url : input);
        const authorized = new Headers(init?.headers).has("Authorization") && request.href.startsWith(this.base);
        if (!authorized) return globalThis.fetch(input, init);
        await this.ensureFresh();
        const used = this.access;
        const response = await globalThis.fetch(input, this.authorize(init));
        if (response.status !== 401 || !(await isSoftLogout(response.clone()))) return response;
        if (this.access === used) await this.refresh().catch(() => {});
        return this.access === used ? response : globalThis.fetch(input, this.authorize(init));
    };

    /** Refreshes when the token is about to expire. A failure is left to the request that follows. */
    async ensureFresh(): Promise<void> {
        if (Date.now() > this.expires_at - EARLY_MS) await this.refresh().catch(() => {});
    }

    private authorize(init: RequestInit | undefined): RequestInit {
        const headers = new Headers(init?.headers);
        headers.set("Authorization", `Bearer ${this.access}`);
        return { ...init, headers };
    }

    private refresh(): Promise<void> {
        this.refreshing ??= this.requestRefresh().finally(() => (this.refreshing = undefined));
        return this.refreshing;
    }

    private async requestRefresh(): Promise<void> {
        if (!this.refresh_) throw new RequestFailed(401, "M_UNKNOWN_TOKEN", "no refresh token");
        const response = await globalThis.fetch(`${this.base}/_matrix/client/v3/refresh`, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ refresh_token: this.refresh_ }),
        });
        if (!response.ok) throw await failure(response);
        this.take((await response.json()) as TokenAnswer);
    }

    private take(answer: TokenAnswer): void {
        this.access = answer.access_token;
        this.refresh_ = answer.refresh_token ?? this.refresh_;
        this.expires_at = answer.expires_in_ms === undefined ? Infinity : Date.now() + answer.expires_in_ms;
        this.onAccess(this.access);
    }
}

async function isSoftLogout(response: Response): Promise<boolean> {
    const { errcode, body } = await failure(response);
    return errcode === "M_UNKNOWN_TOKEN" && body["soft_logout"] === true;
}
