/** Tells a screen reader what arrives. Each message once, in the words the eye would see. */
import type { JSX } from "preact";
import type { App } from "../app.ts";
import { isFile } from "../chat/lifetime.ts";
import { t } from "../text/index.ts";

export function LiveRegion({ app }: { app: App }): JSX.Element {
    const arrived = app.desk.value?.arrived.value;
    let sentence = "";
    if (arrived) {
        const { room, event } = arrived;
        const name = room.getMember(event.getSender() ?? "")?.rawDisplayName ?? "";
        const content = event.getContent();
        const body = String(content["body"] ?? "");
        sentence = isFile(event)
            ? t("arrivedFile", { name, file: String(content["filename"] ?? body) })
            : t("arrived", { name, text: body });
    }
    return (
        <div class="hidden" aria-live="polite" aria-atomic="true" data-testid="announcer">
            {sentence}
        </div>
    );
}
