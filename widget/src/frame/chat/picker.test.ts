import { signal } from "@preact/signals";
import { beforeEach, expect, test } from "vitest";
import type { Directory, Search } from "./contacts.ts";
import { Picker } from "./picker.ts";

const [ada, ben, cem] = ["Ada", "Ben", "Cem"].map((name) => ({ user_id: `@${name}:example.org`, name })) as [
    Contact,
    Contact,
    Contact,
];
type Contact = { user_id: string; name: string };
let search: { value: Search };
let picker: Picker;

function find(...contacts: Contact[]): void {
    picker.look("x");
    search.value = { kind: "found", contacts };
    picker.offer();
}

beforeEach(() => {
    search = signal<Search>({ kind: "idle" });
    const directory: Pick<Directory, "search" | "look"> = {
        search: search as Directory["search"],
        look: (term) => void (search.value = term ? { kind: "searching" } : { kind: "idle" }),
    };
    picker = new Picker(directory as Directory);
});

test("arrows go round, Enter takes", () => {
    find(ada, ben, cem);
    expect([picker.press("ArrowUp"), picker.press("Enter")]).toEqual([true, true]);
    expect(picker.chosen.value).toEqual([cem]);
    expect([picker.term.value, picker.expanded.value]).toEqual(["", false]);
});

test("who is chosen is not offered again", () => {
    find(ada, ben);
    picker.press("Enter");
    find(ada, ben);
    expect(picker.options.value).toEqual([ben]);
});

test("Backspace in the empty field takes the last name away, and means nothing otherwise", () => {
    expect(picker.press("Backspace")).toBe(false);
    picker.choose(ada);
    picker.choose(ben);
    expect(picker.press("Backspace")).toBe(true);
    expect(picker.chosen.value).toEqual([ada]);
    picker.look("b");
    expect(picker.press("Backspace")).toBe(false);
});

test("Escape closes the list before it closes the window, Enter without a list sends the form", () => {
    find(ada);
    expect([picker.press("Escape"), picker.expanded.value]).toEqual([true, false]);
    expect([picker.press("Escape"), picker.press("Enter")]).toEqual([false, false]);
});

test("an empty result is said", () => {
    find();
    expect(picker.said.value).toEqual({ kind: "found", count: 0 });
    expect([picker.active.value, picker.expanded.value]).toEqual([-1, true]);
});
