/** Where one writes. Enter sends, Shift+Enter makes a line. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Desk, OpenChat } from "../chat/desk.ts";
import { t } from "../text/index.ts";
import { Icon } from "./icons.tsx";

/** Grows to about six lines, then scrolls. */
const HEIGHT_PX_MAX = 140;

interface Props {
    desk: Desk;
    open: OpenChat;
    name: string;
    send(files: readonly File[]): void;
}

export function Composer({ desk, open, name, send }: Props): JSX.Element {
    const { room, typing } = open;
    const text = useSignal(desk.drafts.get(room.roomId) ?? "");
    const field = useRef<HTMLTextAreaElement>(null);
    useEffect(() => field.current?.focus(), [room]);
    useLayoutEffect(() => {
        const area = field.current;
        if (!area) return;
        area.style.height = "auto";
        area.style.height = `${Math.min(area.scrollHeight, HEIGHT_PX_MAX)}px`;
    }, [text.value]);
    const write = (value: string): void => {
        text.value = value;
        desk.drafts.set(room.roomId, value);
        if (value) typing.keystroke(Date.now());
        else typing.done();
    };
    const submit = (): void => {
        const line = text.value.trim();
        if (!line) return;
        write("");
        desk.send(room, line).catch(() => {}); // the line itself shows that it failed
        field.current?.focus();
    };
    const onKeyDown = (event: KeyboardEvent): void => {
        // while an input method composes, Enter chooses a word
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        submit();
    };
    const onPaste = (event: ClipboardEvent): void => {
        const files = [...(event.clipboardData?.files ?? [])];
        if (files.length === 0) return;
        event.preventDefault();
        send(files);
    };
    return (
        <form
            class="composer"
            onSubmit={(event) => {
                event.preventDefault();
                submit();
            }}
        >
            <textarea
                ref={field}
                rows={1}
                dir="auto"
                data-focus
                data-testid="composer"
                aria-label={t("composerLabel", { name })}
                aria-describedby="composer-hint"
                placeholder={t("composerPlaceholder")}
                value={text.value}
                onInput={(event) => write(event.currentTarget.value)}
                onKeyDown={onKeyDown}
                onPaste={onPaste}
            />
            <button type="submit" class="send flip" aria-label={t("send")} aria-disabled={!text.value.trim()}>
                <Icon name="send" />
            </button>
            <p id="composer-hint" class="hint">
                {t("composerHint")}
            </p>
        </form>
    );
}
