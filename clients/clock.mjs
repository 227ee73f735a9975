/**
 * A clock for one server, which a test moves: Debian's libfaketime, loaded into the server's process, reads how far it is ahead from a
 * file at each look. Only the time of day moves; how long something takes is measured as ever.
 */
import { existsSync, readdirSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

function findLibrary() {
    const root = "/usr/lib";
    const folders = existsSync(root) ? readdirSync(root).map((architecture) => join(root, architecture, "faketime")) : [];
    return folders.map((folder) => join(folder, "libfaketime.so.1")).find((path) => existsSync(path));
}

/** Where the library is; undefined where it is not installed. */
export const library = findLibrary();

export class MovedClock {
    #file;
    #ahead_ms = 0;

    static async in(folder) {
        const clock = new MovedClock();
        clock.#file = join(folder, "clock");
        await clock.#write();
        return clock;
    }

    /** What the server's process needs in its environment. */
    get environment() {
        return { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: this.#file, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
    }

    async advance(ms) {
        this.#ahead_ms += ms;
        await this.#write();
    }

    /** The server's time. */
    now() {
        return Date.now() + this.#ahead_ms;
    }

    async #write() {
        await writeFile(`${this.#file}.new`, `+${this.#ahead_ms / 1_000}\n`);
        await rename(`${this.#file}.new`, this.#file);
    }
}
