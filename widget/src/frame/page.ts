/** The host page around the frame: asks it for credentials, tells it what the icon shows. */
import { openEnvelope, seal, type Credentials, type ToFrame, type ToPage } from "../protocol.ts";

/** The page has no credentials to give; `status` is its back end's HTTP status, 0 if it could not be reached. */
export class CredentialsRefused extends Error {
    constructor(readonly status: number) {
        super(`the page gave no credentials (${status})`);
    }
}

type Configure = Extract<ToFrame, { kind: "configure" }>;
type Opened = Extract<ToFrame, { kind: "opened" }>;

/** What the rest of the frame wants to know about the page. */
export interface PageListener {
    configure(configuration: Configure): void;
    open(opened: Opened): void;
    closed(): void;
}

interface Waiter {
    resolve(credentials: Credentials): void;
    reject(reason: CredentialsRefused): void;
}

/** The link to the page that embeds the frame, bound to the one origin the loader named when it opened the frame. */
export class Page {
    private readonly origin: string;
    private requests = 0;
    private readonly waiters = new Map<number, Waiter>();

    constructor(
        private readonly listener: PageListener,
        search = location.search,
    ) {
        this.origin = parentOrigin(search);
        window.addEventListener("message", (event) => this.receive(event));
        this.send({ kind: "hello" });
    }

    /** Sends a message to the page. */
    send(message: ToPage): void {
        window.parent.postMessage(seal(message), this.origin);
    }

    /** Asks the page for a fresh login token and the recovery key. */
    askCredentials(): Promise<Credentials> {
        const request = ++this.requests;
        return new Promise((resolve, reject) => {
            this.waiters.set(request, { resolve, reject });
            this.send({ kind: "ask", request });
        });
    }

    private receive(event: MessageEvent<unknown>): void {
        if (event.source !== window.parent || event.origin !== this.origin) return;
        const message = openEnvelope<ToFrame>(event.data);
        switch (message?.kind) {
            case "configure":
                return this.listener.configure(message);
            case "opened":
                return this.listener.open(message);
            case "closed":
                return this.listener.closed();
            case "credentials":
                return this.waiter(message.request)?.resolve(message.credentials);
            case "refused":
                return this.waiter(message.request)?.reject(new CredentialsRefused(message.status));
        }
    }

    private waiter(request: number): Waiter | undefined {
        const waiter = this.waiters.get(request);
        this.waiters.delete(request);
        return waiter;
    }
}

/** The origin the loader named; a browser that knows the real ancestor (all but Firefox) must agree. */
function parentOrigin(search: string): string {
    const named = new URLSearchParams(search).get("page");
    const real = location.ancestorOrigins?.[0];
    if (!named || window.parent === window) throw new Error("this page is opened by Vestibule's loader only");
    if (real && real !== named) throw new Error(`the frame was opened for ${named}, not for ${real}`);
    return named;
}
