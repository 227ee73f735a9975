/** The open chats, with what is unread in each. */
import type { JSX } from "preact";
import type { Desk, Row } from "../chat/desk.ts";
import { plural, t } from "../text/index.ts";
import { Avatar } from "./Avatar.tsx";

/** Online if anybody in it is; undefined while unknown. */
export function rowOnline(desk: Desk, row: Pick<Row, "people">): boolean | undefined {
    const online = desk.presence.online.value;
    const known = row.people.map((person) => online.get(person.user_id));
    return known.includes(true) ? true : known.includes(false) ? false : undefined;
}

export function ChatList({ desk, rows }: { desk: Desk; rows: readonly Row[] }): JSX.Element {
    return (
        <ul class="rows">
            {rows.map((row) => (
                <li key={row.room.roomId}>
                    <button type="button" class="row" data-testid="open-chat" onClick={() => desk.show(row.room)}>
                        <Avatar
                            user_id={row.people[0]?.user_id ?? row.room.roomId}
                            name={row.title}
                            online={rowOnline(desk, row)}
                        />
                        <span class="names">
                            <span class="name">{row.title}</span>
                            <span class="note">{rowOnline(desk, row) ? t("online") : t("offline")}</span>
                        </span>
                        {row.unread > 0 && (
                            <b class="badge" data-testid="unread">
                                <span aria-hidden="true">{row.unread}</span>
                                <span class="hidden">{plural("unread", row.unread)}</span>
                            </b>
                        )}
                    </button>
                </li>
            ))}
        </ul>
    );
}
