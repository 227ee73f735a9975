/** The server's time, and a signal that ticks when something on the screen is due. */
import { signal } from "@preact/signals";

/** A tick at least this often keeps "deleted in 3 h" true. */
const TICK_MS_MAX = 20_000;

/** Server time, told from this machine's clock and the offset seen in an answer's `Date`. */
export class Clock {
    private offset_ms = 0;
    /** Server time of the last tick, Unix milliseconds. Views read it; it moves at least every 20 s and at each due moment. */
    readonly now = signal(Date.now());
    private timer: ReturnType<typeof setTimeout> | undefined;
    private due = Infinity;

    constructor() {
        this.arm();
    }

    /** Learns the offset. `Date` has whole seconds, so half a second is added, and small offsets are left alone. */
    learn(response: Response, sent_at: number, received_at: number): void {
        const date = Date.parse(response.headers.get("date") ?? "");
        if (Number.isNaN(date)) return;
        const offset = date + 500 - (sent_at + received_at) / 2;
        this.offset_ms = Math.abs(offset) < 1_500 ? 0 : offset;
        this.tick();
    }

    /** Server time at this moment, Unix milliseconds. */
    read(): number {
        return Date.now() + this.offset_ms;
    }

    /** Makes `now` tick at `at` (server time), or before. */
    wakeAt(at: number): void {
        if (at >= this.due) return;
        this.due = at;
        this.arm();
    }

    stop(): void {
        clearTimeout(this.timer);
    }

    private tick(): void {
        this.due = Infinity;
        this.now.value = this.read();
        this.arm();
    }

    private arm(): void {
        clearTimeout(this.timer);
        const wait = Math.min(TICK_MS_MAX, Math.max(0, this.due - this.read()));
        this.timer = setTimeout(() => this.tick(), wait);
    }
}
