/** A participant's Chats tab: the host, and "Chat Now". */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Desk, Row } from "../chat/desk.ts";
import { longDuration, plural, t } from "../text/index.ts";
import { Avatar } from "./Avatar.tsx";
import { ChatList } from "./ChatList.tsx";
import { Complaint } from "./Complaint.tsx";
import { Icon } from "./icons.tsx";
import { LaunchButton, useLaunch } from "./Launch.tsx";

/** The chat with the host alone: the one "Chat Now" opens. */
function hostRow(desk: Desk, host: string): Row | undefined {
    return desk.rows.value.find((row) => !row.support && row.people.length === 1 && row.people[0]?.user_id === host);
}

export function ParticipantChats({ desk }: { desk: Desk }): JSX.Element {
    const { inviter } = desk.me;
    const launch = useLaunch();
    const host = inviter?.user_id ?? "";
    const row = hostRow(desk, host);
    const others = desk.rows.value.filter((other) => !other.support && other !== row && other.live);
    const online = desk.presence.online.value.get(host);
    useEffect(() => (host ? desk.presence.watch([host]) : undefined), [host]);
    const open = async (): Promise<void> => {
        if (row) desk.show(row.room);
        else await desk.launch([host]);
    };
    return (
        <>
            {inviter && (
                <section class="card person" aria-labelledby="host-name">
                    <Avatar user_id={inviter.user_id} name={inviter.display_name} online={online} />
                    <p class="note">{t("yourHost")}</p>
                    <h2 id="host-name" class="name" data-testid="host-name">
                        {inviter.display_name}
                    </h2>
                    <p>{t("hostGreeting", { name: inviter.display_name })}</p>
                    {row && row.unread > 0 && (
                        <p class="fresh" data-testid="host-unread">
                            {plural("unread", row.unread)}
                        </p>
                    )}
                    <LaunchButton launch={launch} open={open} label={t("chatNow")} testid="chat-now" />
                    <Complaint error={launch.error.value} />
                </section>
            )}
            {others.length > 0 && (
                <section aria-labelledby="open-chats">
                    <h2 id="open-chats">{t("openChats")}</h2>
                    <ChatList desk={desk} rows={others} />
                </section>
            )}
            <p class="promise">
                <Icon name="lock" />
                {t("encryptedNote", { lifetime: longDuration(desk.me.text_retention_ms) })}
            </p>
        </>
    );
}
