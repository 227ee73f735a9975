/** The state of the contact field: what is typed, what is offered, who is chosen. */
import { computed, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { Directory, Search } from "./contacts.ts";
import type { Contact } from "./rooms.ts";

/** What just happened, for a screen reader. */
export type Said = { kind: "nothing" } | { kind: "found"; count: number } | { kind: "added" | "removed"; name: string };

export class Picker {
    readonly term = signal("");
    readonly chosen: Signal<readonly Contact[]> = signal([]);
    /** Which option Enter takes; -1 for none. */
    readonly active = signal(-1);
    readonly said: Signal<Said> = signal({ kind: "nothing" });
    private readonly open = signal(false);
    /** What was found, without those already chosen. */
    readonly options: ReadonlySignal<readonly Contact[]>;
    /** Whether the list is shown; also while it is empty, to say so. */
    readonly expanded: ReadonlySignal<boolean>;

    constructor(private readonly directory: Directory) {
        this.options = computed(() => {
            const search = directory.search.value;
            if (search.kind !== "found") return [];
            return search.contacts.filter((contact) => !this.chosen.value.some((other) => other.user_id === contact.user_id));
        });
        this.expanded = computed(() => this.open.value && directory.search.value.kind !== "idle");
    }

    get search(): Search {
        return this.directory.search.value;
    }

    /** The text has changed. */
    look(term: string): void {
        this.term.value = term;
        this.open.value = term.trim() !== "";
        this.directory.look(term);
    }

    /** New results are there. */
    offer(): void {
        const count = this.options.value.length;
        this.active.value = count > 0 ? 0 : -1;
        this.said.value = { kind: "found", count };
    }

    choose(contact: Contact | undefined): void {
        if (!contact) return;
        this.chosen.value = [...this.chosen.value, contact];
        this.said.value = { kind: "added", name: contact.name };
        this.look("");
    }

    remove(contact: Contact | undefined): void {
        if (!contact) return;
        this.chosen.value = this.chosen.value.filter((other) => other !== contact);
        this.said.value = { kind: "removed", name: contact.name };
    }

    close(): void {
        this.open.value = false;
    }

    /** Does what a key means in a combobox (ARIA APG); answers whether it meant something. */
    press(key: string): boolean {
        const options = this.options.value;
        const [shown, at] = [this.expanded.value && options.length > 0, this.active.value];
        if ((key === "ArrowDown" || key === "ArrowUp") && options.length > 0) {
            this.open.value = true;
            this.active.value = (at + (key === "ArrowDown" ? 1 : -1) + options.length) % options.length;
        } else if (key === "Enter" && shown && at >= 0) this.choose(options[at]);
        else if (key === "Escape" && this.expanded.value) this.close();
        else if (key === "Backspace" && this.term.value === "" && this.chosen.value.length > 0)
            this.remove(this.chosen.value.at(-1));
        else return false;
        return true;
    }
}
