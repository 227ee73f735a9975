/** The area files are dropped on; its sentence opens the browser's own dialog. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { longDuration, t } from "../text/index.ts";
import { Icon } from "./icons.tsx";

interface Props {
    lifetime_ms: number;
    send(files: readonly File[]): void;
    close(): void;
}

export function DropArea({ lifetime_ms, send, close }: Props): JSX.Element {
    const input = useRef<HTMLInputElement>(null);
    const sentence = useRef<HTMLButtonElement>(null);
    const over = useSignal(false);
    useEffect(() => sentence.current?.focus(), []);
    const take = (files: FileList | null | undefined): void => {
        if (files && files.length > 0) send([...files]);
    };
    const onKeyDown = (event: KeyboardEvent): void => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        close();
    };
    return (
        <div
            class={over.value ? "drop over" : "drop"}
            data-testid="drop-area"
            onKeyDown={onKeyDown}
            onDragOver={(event) => {
                event.preventDefault();
                over.value = true;
            }}
            onDragLeave={() => (over.value = false)}
            onDrop={(event) => {
                event.preventDefault();
                take(event.dataTransfer?.files);
            }}
        >
            <Icon name="file" class="large" />
            <p class="name">{t("dropHere")}</p>
            <button type="button" class="link" ref={sentence} onClick={() => input.current?.click()}>
                {t("dropOrChoose")}
            </button>
            <p class="note">{t("dropHint", { lifetime: longDuration(lifetime_ms) })}</p>
            <input
                ref={input}
                type="file"
                multiple
                hidden
                data-testid="file-input"
                onChange={(event) => take(event.currentTarget.files)}
            />
        </div>
    );
}
