/** Vestibule's platform API, as far as the demonstration and the tests beside it use it. */

/** How long the homeserver may take to start. */
const START_MS_MAX = 60_000;
const START_PAUSE_MS = 250;

/** An answer that is not 2xx (RFC 9457 problem details). */
export class Problem extends Error {
    constructor(status, problem) {
        super(`${status} ${problem.title ?? ""}: ${problem.detail ?? ""}`.trim());
        this.status = status;
    }
}

export class Platform {
    #base;
    #key;

    constructor(homeserver, key) {
        this.#base = `${homeserver.replace(/\/+$/, "")}/_vestibule/v1`;
        this.#key = key;
    }

    putOrganization(organization, name) {
        return this.#request("PUT", `/organizations/${encodeURIComponent(organization)}`, { name });
    }

    /** `settings`: `chat_enabled`, `upload_per_day`. */
    putAccount(organization, account, name, settings = {}) {
        return this.#request(
            "PUT",
            `/organizations/${encodeURIComponent(organization)}/accounts/${encodeURIComponent(account)}`,
            { name, ...settings },
        );
    }

    /** Answers `{user_id, recovery_key}`; the key only the first time. */
    putHost(host, { organization, account, display_name }) {
        return this.#request("PUT", `/hosts/${encodeURIComponent(host)}`, { organization, account, display_name });
    }

    /** Answers `{invitees: [{id, user_id, recovery_key}]}`; the keys only the first time. */
    putSession(session, { host, invitees, ends_at }) {
        return this.#request("PUT", `/sessions/${encodeURIComponent(session)}`, { host, invitees, ends_at });
    }

    endSession(session) {
        return this.#request("POST", `/sessions/${encodeURIComponent(session)}/end`);
    }

    createLoginToken(user_id) {
        return this.#request("POST", "/login_tokens", { user_id });
    }

    /** Resolves when the homeserver answers at all. */
    async untilUp() {
        const until = Date.now() + START_MS_MAX;
        for (;;) {
            try {
                await fetch(this.#base);
                return;
            } catch (error) {
                if (Date.now() > until) throw new Error(`the homeserver does not answer (${error.cause?.code ?? error.message})`);
                await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
            }
        }
    }

    async #request(method, path, body) {
        const response = await fetch(this.#base + path, {
            method,
            headers: { Authorization: `Bearer ${this.#key}`, "Content-Type": "application/json" },
            body: JSON.stringify(body),
        });
        const text = await response.text();
        const json = text ? JSON.parse(text) : {};
        if (!response.ok) throw new Problem(response.status, json);
        return json;
    }
}
