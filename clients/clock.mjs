/** A clock for one server's process, which a test moves forward: clock.c, compiled and loaded into it, reads from a file how far. */
import { execFile } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export class MovedClock {
    #path;
    #library;
    #ahead_ms = 0;

    static async in(folder) {
        const clock = new MovedClock();
        clock.#path = join(folder, "clock");
        clock.#library = join(folder, "clock.so");
        const source = fileURLToPath(new URL("clock.c", import.meta.url));
        await promisify(execFile)("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", clock.#library, source]);
        await clock.#write("w");
        return clock;
    }

    /** What the server's process needs in its environment. */
    get environment() {
        return { LD_PRELOAD: this.#library, MOVED_CLOCK: this.#path };
    }

    async advance(ms) {
        this.#ahead_ms += ms;
        await this.#write("r+");
    }

    /** The server's time. */
    now() {
        return Date.now() + this.#ahead_ms;
    }

    /** In place: the server has the file mapped. */
    async #write(flags) {
        const file = await open(this.#path, flags);
        await file.write(Buffer.from(new BigInt64Array([BigInt(this.#ahead_ms)]).buffer), 0, 8, 0);
        await file.close();
    }
}
