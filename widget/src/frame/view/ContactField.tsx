/** The contact field: an ARIA combobox with a listbox, and the chosen names as removable chips (ARIA APG "combobox"). */
import { useComputed, useSignal, type Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Directory } from "../chat/contacts.ts";
import type { Desk } from "../chat/desk.ts";
import type { Contact } from "../chat/rooms.ts";
import { plural, t } from "../text/index.ts";
import { Avatar } from "./Avatar.tsx";
import { Icon } from "./icons.tsx";

interface Props {
    desk: Desk;
    chosen: Signal<readonly Contact[]>;
}

export function ContactField({ desk, chosen }: Props): JSX.Element {
    const directory = useMemo(() => new Directory(desk.client, new Set([desk.me.user_id, desk.me.support?.user_id ?? ""])), [desk]);
    const term = useSignal("");
    const open = useSignal(false);
    const active = useSignal(-1);
    const said = useSignal("");
    const input = useRef<HTMLInputElement>(null);
    const options = useComputed(() => {
        const search = directory.search.value;
        if (search.kind !== "found") return [];
        return search.contacts.filter((contact) => !chosen.value.some((other) => other.user_id === contact.user_id));
    });
    const search = directory.search.value;
    useEffect(() => {
        if (search.kind !== "found") return;
        active.value = options.value.length > 0 ? 0 : -1;
        said.value = options.value.length > 0 ? plural("contactFound", options.value.length) : t("contactNone");
        void desk.presence.ask(options.value.map((contact) => contact.user_id));
    }, [search]);

    const look = (text: string): void => {
        term.value = text;
        open.value = text.trim() !== "";
        directory.look(text);
    };
    const choose = (contact: Contact | undefined): void => {
        if (!contact) return;
        chosen.value = [...chosen.value, contact];
        said.value = t("contactAdded", { name: contact.name });
        look("");
        input.current?.focus();
    };
    const remove = (contact: Contact): void => {
        chosen.value = chosen.value.filter((other) => other !== contact);
        said.value = t("contactRemoved", { name: contact.name });
        input.current?.focus();
    };
    const onKeyDown = (event: KeyboardEvent): void => {
        const count = options.value.length;
        const shown = open.value && count > 0;
        const last = chosen.value[chosen.value.length - 1];
        if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count > 0) {
            open.value = true;
            active.value = (active.value + (event.key === "ArrowDown" ? 1 : -1) + count) % count;
        } else if (event.key === "Enter" && shown && active.value >= 0) choose(options.value[active.value]);
        else if (event.key === "Escape" && open.value) open.value = false;
        else if (event.key === "Backspace" && term.value === "" && last) return remove(last);
        else return;
        event.preventDefault();
    };
    const expanded = open.value && search.kind !== "idle";

    return (
        <div class="field">
            <label for="contact">{t("contactLabel")}</label>
            <div class="tokens" onClick={() => input.current?.focus()}>
                <Chips contacts={chosen.value} remove={remove} />
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
                    {...(expanded && active.value >= 0 ? { "aria-activedescendant": `contact-${active.value}` } : {})}
                    value={term.value}
                    onInput={(event) => look(event.currentTarget.value)}
                    onKeyDown={onKeyDown}
                    onBlur={() => (open.value = false)}
                />
            </div>
            <p id="contact-hint" class="note">
                {t("contactHint")}
            </p>
            <ul id="contact-list" role="listbox" class="options" aria-label={t("contactLabel")} hidden={!expanded || options.value.length === 0}>
                {options.value.map((contact, at) => (
                    <li
                        key={contact.user_id}
                        id={`contact-${at}`}
                        role="option"
                        aria-selected={at === active.value}
                        onPointerDown={(event) => {
                            event.preventDefault(); // keeps the focus in the field
                            choose(contact);
                        }}
                        onPointerMove={() => (active.value = at)}
                    >
                        <Avatar small user_id={contact.user_id} name={contact.name} online={desk.presence.online.value.get(contact.user_id)} />
                        <span class="name">{contact.name}</span>
                    </li>
                ))}
            </ul>
            {expanded && options.value.length === 0 && <p class="options note">{emptySentence(search.kind)}</p>}
            <div class="hidden" aria-live="polite">
                {said.value}
            </div>
        </div>
    );
}

function emptySentence(kind: "idle" | "searching" | "found" | "failed"): string {
    return kind === "failed" ? t("contactFailed") : kind === "found" ? t("contactNone") : t("contactSearching");
}

function Chips({ contacts, remove }: { contacts: readonly Contact[]; remove: (contact: Contact) => void }): JSX.Element {
    return (
        <>
            {contacts.map((contact) => (
                <span class="chip" key={contact.user_id} data-testid="chip">
                    {contact.name}
                    <button type="button" class="plain" aria-label={t("contactRemove", { name: contact.name })} onClick={() => remove(contact)}>
                        <Icon name="close" />
                    </button>
                </span>
            ))}
        </>
    );
}
