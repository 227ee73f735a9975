/** A host's Chats tab: a new chat, the last three, the open ones. */
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
import { useLaunch } from "./Launch.tsx";

export function HostChats({ desk }: { desk: Desk }): JSX.Element {
    const picker = useMemo(
        () => new Picker(new Directory(desk.client, new Set([desk.me.user_id, desk.me.support?.user_id ?? ""]))),
        [desk],
    );
    const launch = useLaunch();
    const open = async (contacts: readonly Contact[]): Promise<void> => {
        if (contacts.length > 0) await launch.run(() => desk.launch(contacts.map((contact) => contact.user_id)));
    };
    const rows = desk.rows.value.filter((row) => !row.support && (row.live || row.unread > 0));
    return (
        <>
            <form
                class="card"
                onSubmit={(event) => {
                    event.preventDefault();
                    void open(picker.chosen.value);
                }}
            >
                <ContactField desk={desk} picker={picker} />
                <button
                    type="submit"
                    class="primary wide"
                    data-testid="launch-user-chat"
                    aria-disabled={picker.chosen.value.length === 0 || launch.busy.value}
                >
                    {launch.busy.value ? <span class="spinner" /> : null}
                    {t("launchUserChat")}
                </button>
                <Complaint error={launch.error.value} />
            </form>
            <LastChats desk={desk} open={open} />
            <section aria-labelledby="open-chats">
                <h2 id="open-chats">{t("openChats")}</h2>
                {rows.length > 0 ? <ChatList desk={desk} rows={rows} /> : <p class="note">{t("noChats")}</p>}
            </section>
        </>
    );
}

interface LastChatsProps {
    desk: Desk;
    open(contacts: readonly Contact[]): Promise<void>;
}

function LastChats({ desk, open }: LastChatsProps): JSX.Element | null {
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
                            onClick={() => void open([contact])}
                        >
                            {t("launch")}
                        </button>
                    </li>
                ))}
            </ul>
        </section>
    );
}
