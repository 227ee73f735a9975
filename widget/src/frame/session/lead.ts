/**
 * One tab leads: only it holds a host's key store and connection, for the store is not made for two writers.
 *
 * The lead is a Web Lock per user, freed by the browser when the tab goes away. A tab that wants it asks the leader over a
 * BroadcastChannel; the leader stops its client first and then frees the lock. The others show the leader's unread count.
 */

/** What tabs of one user tell each other. */
type Word = { kind: "yield" } | { kind: "unread"; unread: number };

export class Lead {
    private readonly channel: BroadcastChannel;
    private readonly name: string;
    private free: (() => void) | undefined;
    /** Called when another tab asks for the lead; resolves when the client has stopped. */
    onYield: () => Promise<void> = async () => {};
    /** Called with the leader's unread count. */
    onUnread: (unread: number) => void = () => {};

    constructor(user_id: string) {
        this.name = `vestibule:${user_id}`;
        this.channel = new BroadcastChannel(this.name);
        this.channel.onmessage = (event: MessageEvent<Word>): void => void this.hear(event.data);
    }

    get held(): boolean {
        return this.free !== undefined;
    }

    /** Takes the lead if nobody has it. */
    tryTake(): Promise<boolean> {
        return this.request({ ifAvailable: true });
    }

    /** Waits until the lead is free and takes it. */
    async wait(signal?: AbortSignal): Promise<boolean> {
        return this.request(signal ? { signal } : {});
    }

    /** Asks the leader to give it up. Follow with `wait`. */
    askFor(): void {
        this.say({ kind: "yield" });
    }

    /** Frees the lead. */
    release(): void {
        this.free?.();
        this.free = undefined;
    }

    /** Tells the other tabs the unread count. */
    tellUnread(unread: number): void {
        if (this.held) this.say({ kind: "unread", unread });
    }

    close(): void {
        this.release();
        this.channel.close();
    }

    private say(word: Word): void {
        this.channel.postMessage(word);
    }

    private async hear(word: Word): Promise<void> {
        if (word.kind === "unread") return this.onUnread(word.unread);
        if (!this.held) return;
        await this.onYield();
        this.release();
    }

    private request(options: LockOptions): Promise<boolean> {
        return new Promise((resolve, reject) => {
            navigator.locks
                .request(this.name, options, (lock) => {
                    resolve(lock !== null);
                    if (lock === null) return undefined;
                    return new Promise<void>((free) => (this.free = free));
                })
                .catch(reject);
        });
    }
}
