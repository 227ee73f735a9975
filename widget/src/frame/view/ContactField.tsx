/** The contact field: an ARIA combobox with a listbox, and the chosen names as removable chips (ARIA APG "combobox"). */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Desk } from "../chat/desk.ts";
import type { Picker, Said } from "../chat/picker.ts";
import type { Contact } from "../chat/rooms.ts";
import { plural, t } from "../text/index.ts";
import { Avatar } from "./Avatar.tsx";
import { Icon } from "./icons.tsx";

interface Props {
    desk: Desk;
    picker: Picker;
}

export function ContactField({ desk, picker }: Props): JSX.Element {
    const input = useRef<HTMLInputElement>(null);
    const search = picker.search;
    useEffect(() => {
        if (search.kind !== "found") return;
        picker.offer();
        void desk.presence.ask(picker.options.value.map((contact) => contact.user_id));
    }, [search]);
    const focus = (): void => input.current?.focus();
    const onKeyDown = (event: KeyboardEvent): void => {
        if (picker.press(event.key)) event.preventDefault();
    };
    const expanded = picker.expanded.value;
    const active = picker.active.value;
    return (
        <div class="field">
            <label for="contact">{t("contactLabel")}</label>
            <div class="tokens" onClick={focus}>
                <Chips picker={picker} />
                <input
                    ref={input}
                    id="contact"
                    type="text"
                    role="combobox"
                    autocomplete="off"
                    spellcheck={false}
                    data-focus
                    data-testid="contact"
                    placeholder={t("contactPlaceholder")}
                    aria-describedby="contact-hint"
                    aria-autocomplete="list"
                    aria-expanded={expanded}
                    aria-controls="contact-list"
                    {...(expanded && active >= 0 ? { "aria-activedescendant": `contact-${active}` } : {})}
                    value={picker.term.value}
                    onInput={(event) => picker.look(event.currentTarget.value)}
                    onKeyDown={onKeyDown}
                    onBlur={() => picker.close()}
                />
            </div>
            <p id="contact-hint" class="note">
                {t("contactHint")}
            </p>
            <Options desk={desk} picker={picker} />
            <div class="hidden" aria-live="polite">
                {spoken(picker.said.value)}
            </div>
        </div>
    );
}

function Options({ desk, picker }: Props): JSX.Element {
    const expanded = picker.expanded.value;
    const options = picker.options.value;
    return (
        <>
            <ul
                id="contact-list"
                role="listbox"
                class="options"
                aria-label={t("contactLabel")}
                hidden={!expanded || options.length === 0}
            >
                {options.map((contact, at) => (
                    <li
                        key={contact.user_id}
                        id={`contact-${at}`}
                        role="option"
                        aria-selected={at === picker.active.value}
                        onPointerDown={(event) => {
                            event.preventDefault(); // keeps the focus in the field
                            picker.choose(contact);
                        }}
                        onPointerMove={() => (picker.active.value = at)}
                    >
                        <Avatar
                            small
                            user_id={contact.user_id}
                            name={contact.name}
                            online={desk.presence.online.value.get(contact.user_id)}
                        />
                        <span class="name">{contact.name}</span>
                    </li>
                ))}
            </ul>
            {expanded && options.length === 0 && <p class="options note">{emptySentence(picker.search.kind)}</p>}
        </>
    );
}

function emptySentence(kind: "idle" | "searching" | "found" | "failed"): string {
    return kind === "failed" ? t("contactFailed") : kind === "found" ? t("contactNone") : t("contactSearching");
}

function spoken(said: Said): string {
    switch (said.kind) {
        case "nothing":
            return "";
        case "found":
            return said.count > 0 ? plural("contactFound", said.count) : t("contactNone");
        case "added":
            return t("contactAdded", { name: said.name });
        case "removed":
            return t("contactRemoved", { name: said.name });
    }
}

function Chips({ picker }: { picker: Picker }): JSX.Element {
    const remove = (contact: Contact): void => picker.remove(contact);
    return (
        <>
            {picker.chosen.value.map((contact) => (
                <span class="chip" key={contact.user_id} data-testid="chip">
                    {contact.name}
                    <button
                        type="button"
                        class="plain"
                        aria-label={t("contactRemove", { name: contact.name })}
                        onClick={() => remove(contact)}
                    >
                        <Icon name="close" />
                    </button>
                </span>
            ))}
        </>
    );
}
