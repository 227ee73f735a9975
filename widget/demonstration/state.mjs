/** What the platform remembers: its users' Matrix names and recovery keys, and the visit. A file only its owner can read. */
import { readFile, rename, writeFile } from "node:fs/promises";

export class State {
    #path;
    /** `{[id]: {user_id, recovery_key}}` */
    users = {};
    /** `{number, ends_at}` of the visit. */
    visit = undefined;

    static async open(path) {
        const state = new State();
        state.#path = path;
        try {
            const { users, visit } = JSON.parse(await readFile(path, "utf8"));
            Object.assign(state, { users, visit });
        } catch (error) {
            if (error.code !== "ENOENT") throw error;
        }
        return state;
    }

    /** Keeps a user. The recovery key is answered once, so it is on disk before anything else happens. */
    async keep(id, { user_id, recovery_key }) {
        const key = recovery_key ?? this.users[id]?.recovery_key;
        if (!key)
            throw new Error(
                `the recovery key of "${id}" was given out before and is not in ${this.#path}; use that state file, or a fresh data folder`,
            );
        this.users[id] = { user_id, recovery_key: key };
        await this.save();
        return this.users[id];
    }

    async save() {
        const { users, visit } = this;
        await writeFile(`${this.#path}.new`, JSON.stringify({ users, visit }, null, 2), { mode: 0o600 });
        await rename(`${this.#path}.new`, this.#path);
    }
}
