/** Who is online, from /sync, and asked for where /sync says nothing yet. */
import { signal, type Signal } from "@preact/signals";
import { MatrixError, UserEvent, type MatrixClient, type MatrixEvent, type User } from "matrix-js-sdk";

/** Users on the screen are asked about this often; /sync tells only of those one shares a room with. */
const ASK_MS = 20_000;
/** Nobody is asked about more often than this. */
const ASK_MS_MIN = 5_000;

export class Presence {
    /** Online state by user; absent while unknown. */
    readonly online: Signal<ReadonlyMap<string, boolean>> = signal(new Map<string, boolean>());
    private readonly asked = new Map<string, number>();
    private readonly listen = (_: MatrixEvent | undefined, user: User): void => this.set(user.userId, user.presence === "online");

    constructor(private readonly client: MatrixClient) {
        for (const user of client.getUsers()) if (user.events.presence) this.set(user.userId, user.presence === "online");
        client.on(UserEvent.Presence, this.listen);
    }

    close(): void {
        this.client.off(UserEvent.Presence, this.listen);
    }

    /** Asks the server about users, not more often than every few seconds each. */
    async ask(user_ids: readonly string[]): Promise<void> {
        const now = Date.now();
        const due = user_ids.filter((user_id) => now - (this.asked.get(user_id) ?? -Infinity) >= ASK_MS_MIN);
        for (const user_id of due) this.asked.set(user_id, now);
        await Promise.all(due.map((user_id) => this.askOne(user_id)));
    }

    /** Keeps asking about users until the answered function is called. */
    watch(user_ids: readonly string[]): () => void {
        void this.ask(user_ids);
        const timer = setInterval(() => void this.ask(user_ids), ASK_MS);
        return () => clearInterval(timer);
    }

    private async askOne(user_id: string): Promise<void> {
        try {
            const { presence } = await this.client.getPresence(user_id);
            this.set(user_id, presence === "online");
        } catch (error) {
            // The server doesn't tell about somebody who has not been here yet. What /sync says stands; else they are away.
            if (error instanceof MatrixError && !this.online.value.has(user_id)) this.set(user_id, false);
        }
    }

    private set(user_id: string, online: boolean): void {
        if (this.online.value.get(user_id) !== online) this.online.value = new Map(this.online.value).set(user_id, online);
    }
}
