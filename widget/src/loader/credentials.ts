/** Where the page's credentials come from: a URL of the page's own back end, or a function of the page. */
import type { Credentials } from "../protocol.ts";

/** A function of the page that hands out fresh credentials each time it is called. */
export type CredentialsFunction = () => Promise<Credentials> | Credentials;

/** The back end's refusal; 0 when it could not be reached. */
export class Refused extends Error {
    constructor(readonly status: number) {
        super(`no credentials (${status})`);
    }
}

/** Credentials came, and nothing can be done with them. */
const UNUSABLE = 422;

/** Fetches credentials with the page's own cookies. POST, since every answer mints a single-use token. */
export async function fetchCredentials(url: string): Promise<Credentials> {
    let response: Response;
    try {
        response = await fetch(url, {
            method: "POST",
            credentials: "include",
            headers: { Accept: "application/json" },
            cache: "no-store",
        });
    } catch {
        throw new Refused(0);
    }
    if (!response.ok) throw new Refused(response.status);
    return (await response.json()) as Credentials;
}

/** Only what the frame needs crosses to it; anything else the back end answered stays in the page. What is missing is said to the developer, by its name. */
export function pick({ user_id, login_token, recovery_key }: Credentials): Credentials {
    for (const [name, value] of Object.entries({ user_id, login_token, recovery_key })) {
        if (typeof value === "string" && value) continue;
        console.error(`vestibule: the credentials have no ${name}: see "A page gets" in docs/platform.md`);
        throw new Refused(UNUSABLE);
    }
    return { user_id, login_token, recovery_key };
}
