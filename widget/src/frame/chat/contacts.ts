/** Finding contacts by part of a name. */
import { signal, type Signal } from "@preact/signals";
import type { MatrixClient } from "matrix-js-sdk";
import { localpart, type Contact } from "./rooms.ts";

const LIMIT = 12;
/** Typing pauses this long before the directory is asked. */
const PAUSE_MS = 150;

export type Search = { kind: "idle" } | { kind: "searching" } | { kind: "found"; contacts: Contact[] } | { kind: "failed" };

/** The user directory behind the contact field. The server decides who is in it. */
export class Directory {
    readonly search: Signal<Search> = signal({ kind: "idle" });
    private timer: ReturnType<typeof setTimeout> | undefined;
    private turn = 0;

    constructor(
        private readonly client: MatrixClient,
        private readonly hidden: ReadonlySet<string>,
    ) {}

    /** Looks for a term; an empty one ends the search. */
    look(term: string): void {
        clearTimeout(this.timer);
        const turn = ++this.turn;
        if (!term.trim()) {
            this.search.value = { kind: "idle" };
            return;
        }
        if (this.search.value.kind !== "found") this.search.value = { kind: "searching" };
        this.timer = setTimeout(() => void this.ask(term.trim(), turn), PAUSE_MS);
    }

    private async ask(term: string, turn: number): Promise<void> {
        try {
            const { results } = await this.client.searchUserDirectory({ term, limit: LIMIT });
            if (turn !== this.turn) return;
            const contacts = results
                .filter((result) => !this.hidden.has(result.user_id))
                .map((result) => ({ user_id: result.user_id, name: result.display_name || localpart(result.user_id) }));
            this.search.value = { kind: "found", contacts };
        } catch {
            if (turn === this.turn) this.search.value = { kind: "failed" };
        }
    }
}
