/** One user's connection, from the page's credentials to a running client. */
import { batch, signal, type Signal } from "@preact/signals";
import {
    ClientEvent,
    createClient,
    HttpApiEvent,
    MemoryStore,
    PendingEventOrdering,
    SyncState,
    type MatrixClient,
    type MatrixEvent,
} from "matrix-js-sdk";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";
import type { Credentials } from "../../protocol.ts";
import { CredentialsRefused, type Page } from "../page.ts";
import { Clock } from "./clock.ts";
import { forgetDevice, hasKeyStore, readDevice, storageKey, storePrefix, writeDevice } from "./devices.ts";
import { connectBackup, firstSync, IdentityMissing, rehydrate, unlockIdentity } from "./encryption.ts";
import { RequestFailed } from "./errors.ts";
import { Lead } from "./lead.ts";
import { quieten, silence } from "./log.ts";
import { fetchMe, login, logout, sayAway, type Login, type Me } from "./login.ts";

/** Events of the first sync per room; older ones come as the window scrolls up. */
const FIRST_SYNC_EVENTS = 40;
/** A start that failed for lack of a network is tried again after these pauses, the last one for ever. */
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 20_000];

/** The account data in which the server says whether chat is on: `{ "enabled": boolean }`. */
const CHAT = "org.vestibule.chat";

/** Where the connection stands. */
export type Phase =
    | { kind: "starting" }
    | { kind: "elsewhere" }
    | { kind: "ready" }
    | { kind: "over" }
    | { kind: "failed"; reason: "offline" | "identity" | "other" };

/** The running part, once there is one. */
export interface Connection {
    client: MatrixClient;
    login: Login;
}

quieten();

export class Session {
    readonly clock = new Clock();
    readonly phase: Signal<Phase> = signal({ kind: "starting" });
    readonly me: Signal<Me | undefined> = signal(undefined);
    readonly connection: Signal<Connection | undefined> = signal(undefined);
    /** False while the server can't be reached. */
    readonly online = signal(true);
    /** Whether the keys of everything sent before are in. Until then a message that can't be read only waits for them. */
    readonly keysReady = signal(false);
    /** The unread count the leading tab told, while this one follows. */
    readonly unreadElsewhere = signal(0);
    private lead: Lead | undefined;
    private waiting: AbortController | undefined;
    private client: MatrixClient | undefined;
    /** Which start is under way; what an earlier one still reports is of no interest. */
    private turn = 0;
    private attempt = 0;
    private relogins = 0;

    constructor(private readonly page: Page) {
        addEventListener("pagehide", () => this.leave());
        addEventListener("pageshow", (event) => event.persisted && location.reload());
    }

    /** Starts, or starts again. Never rejects: what went wrong is in `phase`. */
    async start(): Promise<void> {
        const turn = ++this.turn;
        this.phase.value = { kind: "starting" };
        this.keysReady.value = false;
        try {
            await this.connect(await this.page.askCredentials());
            this.attempt = this.relogins = 0;
        } catch (error) {
            if (turn === this.turn) this.fail(error);
        }
    }

    /** Brings the chat into this tab. */
    async takeOver(): Promise<void> {
        if (this.phase.value.kind !== "elsewhere") return;
        this.phase.value = { kind: "starting" };
        this.lead?.askFor();
    }

    private async connect(credentials: Credentials): Promise<void> {
        this.lead ??= this.openLead(credentials.user_id);
        if (!this.lead.held && !(await this.lead.tryTake())) {
            this.phase.value = { kind: "elsewhere" };
            return this.follow();
        }
        const record = readDevice(credentials.user_id);
        if (record && !record.complete) await forgetDevice(credentials.user_id);
        const held =
            record?.complete && (await hasKeyStore(credentials.user_id, record.device_id)) ? record.device_id : undefined;
        const entered = await login(credentials, held);
        const me = await fetchMe(entered, this.clock);
        this.me.value = me;
        const lasting = me.role !== "participant";
        if (!lasting) this.lead.release(); // a participant's keys live in memory: tabs have nothing to share
        this.client = await this.buildClient(entered, credentials.recovery_key, lasting);
        await this.run(this.client, entered, lasting, held === entered.device_id);
    }

    private async buildClient(entered: Login, recovery_key: string, lasting: boolean): Promise<MatrixClient> {
        const key = decodeRecoveryKey(recovery_key);
        const client = createClient({
            baseUrl: entered.base,
            userId: entered.user_id,
            deviceId: entered.device_id,
            accessToken: entered.tokens.accessToken,
            fetchFn: entered.tokens.fetch,
            store: new MemoryStore(),
            logger: silence,
            disableVoip: true,
            timelineSupport: true,
            unstableMSC1763Retention: true,
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => {
                    const id = Object.keys(keys)[0];
                    return id === undefined ? null : [id, key];
                },
            },
        });
        entered.tokens.onAccess = (token): void => client.setAccessToken(token);
        await client.initRustCrypto(
            lasting
                ? {
                      cryptoDatabasePrefix: storePrefix(entered.user_id, entered.device_id),
                      storageKey: await storageKey(key, entered.device_id),
                  }
                : { useIndexedDB: false },
        );
        return client;
    }

    private async run(client: MatrixClient, entered: Login, lasting: boolean, known: boolean): Promise<void> {
        const { user_id, device_id } = entered;
        if (lasting && !known) writeDevice(user_id, { device_id, complete: false });
        const synced = firstSync(client);
        client.on(ClientEvent.Sync, (state) => this.onSync(state));
        client.on(ClientEvent.AccountData, (event) => this.onAccountData(event));
        client.on(HttpApiEvent.SessionLoggedOut, () => void this.onLoggedOut());
        await client.startClient({ initialSyncLimit: FIRST_SYNC_EVENTS, pendingEventOrdering: PendingEventOrdering.Detached });
        await synced;
        batch(() => {
            this.connection.value = { client, login: entered };
            this.phase.value = { kind: "ready" };
        });
        await unlockIdentity(client);
        if (!known) {
            if (lasting) await connectBackup(client);
            await rehydrate(client);
            if (lasting) writeDevice(user_id, { device_id, complete: true });
        }
        this.keysReady.value = true;
    }

    /** The platform has switched chat on or off for the account: the server tells it as account data, at once. */
    private onAccountData(event: MatrixEvent): void {
        const me = this.me.value;
        const enabled: unknown = event.getType() === CHAT ? event.getContent()["enabled"] : undefined;
        if (!me || typeof enabled !== "boolean") return;
        if (enabled !== me.chat_enabled) this.me.value = { ...me, chat_enabled: enabled };
        // It also comes when the session has moved, to another host or another time.
        if (this.connection.value) void this.askAgain(this.connection.value);
    }

    /** Who we are may have changed. If the server can't be asked now, the next start asks. */
    private async askAgain(connection: Connection): Promise<void> {
        const me = await fetchMe(connection.login, this.clock).catch(() => undefined);
        if (me && this.connection.value === connection) this.me.value = me;
    }

    private onSync(state: SyncState): void {
        if (state === SyncState.Syncing || state === SyncState.Prepared) this.online.value = true;
        if (state === SyncState.Error || state === SyncState.Reconnecting) this.online.value = false;
    }

    /** The server ended the device: wipe, and ask the page once more. */
    private async onLoggedOut(): Promise<void> {
        const user_id = this.connection.value?.login.user_id;
        this.stopClient();
        if (user_id && this.lead?.held) await forgetDevice(user_id);
        if (this.relogins++ > 0) {
            this.phase.value = { kind: "over" };
            return;
        }
        await this.start();
    }

    private fail(error: unknown): void {
        console.warn("vestibule: the chat did not start:", error instanceof Error ? error.message : error);
        this.stopClient();
        const refused = error instanceof CredentialsRefused ? error.status : undefined;
        const loginRefused = error instanceof RequestFailed && error.status === 403;
        if (loginRefused || refused === 401 || refused === 403 || refused === 404 || refused === 410 || refused === 422) {
            this.phase.value = { kind: "over" };
            return;
        }
        if (error instanceof IdentityMissing) {
            this.phase.value = { kind: "failed", reason: "identity" };
            return;
        }
        const answered = error instanceof RequestFailed && error.status < 500;
        this.phase.value = { kind: "failed", reason: answered ? "other" : "offline" };
        const pause = RETRY_MS[Math.min(this.attempt++, RETRY_MS.length - 1)];
        setTimeout(() => this.phase.value.kind === "failed" && void this.start(), pause);
    }

    private openLead(user_id: string): Lead {
        const lead = new Lead(user_id);
        lead.onYield = async (): Promise<void> => {
            this.stopClient();
            this.phase.value = { kind: "elsewhere" };
            setTimeout(() => void this.follow(), 0);
        };
        lead.onUnread = (unread): void => void (this.unreadElsewhere.value = unread);
        return lead;
    }

    /** Queues for the lead: it comes when the leading tab closes, or yields. */
    private async follow(): Promise<void> {
        this.waiting?.abort();
        this.waiting = new AbortController();
        try {
            if (await this.lead?.wait(this.waiting.signal)) await this.start();
        } catch {
            // aborted by a later wait
        }
    }

    /** Tells the following tabs. */
    tellUnread(unread: number): void {
        this.lead?.tellUnread(unread);
    }

    private stopClient(): void {
        this.connection.value = undefined;
        this.client?.removeAllListeners();
        this.client?.stopClient();
        this.client = undefined;
    }

    /** The page goes away: a participant's device is of no use any more, a host's stays. */
    private leave(): void {
        const connection = this.connection.value;
        this.stopClient();
        if (connection) void (this.me.value?.role === "participant" ? logout : sayAway)(connection.login);
        this.lead?.close();
    }
}
