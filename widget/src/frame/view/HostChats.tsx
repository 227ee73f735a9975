/** A host's Chats tab: a new chat, the last three, the open ones. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { Directory } from "../chat/contacts.ts";
import type { Desk } from "../chat/desk.ts";
import { Picker } from "../chat/picker.ts";
import type { Contact } from "../chat/rooms.ts";
import { t } from "../text/index.ts";
import { Avatar } from "./Avatar.tsx";
import { ChatList } from "./ChatList.tsx";
import { Complaint } from "./Complaint.tsx";
import { ContactField } from "./ContactField.tsx";

export function HostChats({ desk }: { desk: Desk }): JSX.Element {
    const picker = useMemo(
        () => new Picker(new Directory(desk.client, new Set([desk.me.user_id, desk.me.support?.user_id ?? ""]))),
        [desk],
    );
    const busy = useSignal(false);
    const error = useSignal<unknown>(undefined);
    const launch = async (contacts: readonly Contact[]): Promise<void> => {
        if (busy.value || contacts.length === 0) return;
        busy.value = true;
        error.value = undefined;
        try {
            await desk.launch(contacts.map((contact) => contact.user_id));
        } catch (reason) {
            error.value = reason;
        } finally {
            busy.value = false;
        }
    };
    const rows = desk.rows.value.filter((row) => !row.support && (row.live || row.unread > 0));
    return (
        <>
            <form
                class="card"
                onSubmit={(event) => {
                    event.preventDefault();
                    void launch(picker.chosen.value);
                }}
            >
                <ContactField desk={desk} picker={picker} />
                <button
                    type="submit"
                    class="primary wide"
                    data-testid="launch-user-chat"
                    aria-disabled={picker.chosen.value.length === 0 || busy.value}
                >
                    {busy.value ? <span class="spinner" /> : null}
                    {t("launchUserChat")}
                </button>
                <Complaint error={error.value} />
            </form>
            <LastChats desk={desk} launch={launch} />
            <section aria-labelledby="open-chats">
                <h2 id="open-chats">{t("openChats")}</h2>
                {rows.length > 0 ? <ChatList desk={desk} rows={rows} /> : <p class="note">{t("noChats")}</p>}
            </section>
        </>
    );
}

interface LastChatsProps {
    desk: Desk;
    launch(contacts: readonly Contact[]): Promise<void>;
}

function LastChats({ desk, launch }: LastChatsProps): JSX.Element | null {
    const recent = desk.recent.value;
    const ids = recent.map((contact) => contact.user_id).join(" ");
    useEffect(() => (ids ? desk.presence.watch(ids.split(" ")) : undefined), [ids]);
    if (recent.length === 0) return null;
    return (
        <section aria-labelledby="last-chats">
            <h2 id="last-chats">{t("lastChats")}</h2>
            <ul class="rows">
                {recent.map((contact) => (
                    <li class="row" key={contact.user_id} data-testid="last-chat">
                        <Avatar
                            user_id={contact.user_id}
                            name={contact.name}
                            online={desk.presence.online.value.get(contact.user_id)}
                        />
                        <span class="names">
                            <span class="name">{contact.name}</span>
                        </span>
                        <button
                            type="button"
                            class="secondary"
                            aria-label={t("launchWith", { name: contact.name })}
                            onClick={() => void launch([contact])}
                        >
                            {t("launch")}
                        </button>
                    </li>
                ))}
            </ul>
        </section>
    );
}
