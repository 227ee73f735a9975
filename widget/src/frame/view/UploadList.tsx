/** Files on their way out. */
import type { JSX } from "preact";
import type { Upload, Uploads } from "../files/upload.ts";
import { sizeOf, t } from "../text/index.ts";
import { errorSentence } from "./Complaint.tsx";
import { Icon } from "./icons.tsx";

export function UploadList({ uploads }: { uploads: Uploads }): JSX.Element | null {
    const list = uploads.list.value;
    if (list.length === 0) return null;
    return (
        <ul class="uploads" data-testid="uploads">
            {list.map((upload) => (
                <Row key={upload.id} upload={upload} />
            ))}
        </ul>
    );
}

function Row({ upload }: { upload: Upload }): JSX.Element {
    const state = upload.state.value;
    const failed = state.kind === "failed";
    return (
        <li class="upload">
            <div class="file-row">
                <span class="names">
                    <span class="name" dir="auto">
                        {upload.name}
                    </span>
                    <span class="size">
                        {state.kind === "uploading"
                            ? t("uploadProgress", { sent: sizeOf(state.sent), total: sizeOf(state.total) })
                            : sizeOf(upload.size)}
                        {state.kind === "encrypting" && ` · ${t("encrypting")}`}
                    </span>
                </span>
                {failed && (
                    <button type="button" class="link" onClick={() => upload.again()}>
                        {t("tryAgain")}
                    </button>
                )}
                <button
                    type="button"
                    class="plain"
                    aria-label={`${failed ? t("discard") : t("cancel")}: ${upload.name}`}
                    onClick={() => upload.cancel()}
                >
                    <Icon name="close" />
                </button>
            </div>
            {failed ? (
                <p class="failure" role="alert">
                    <Icon name="warning" /> {errorSentence(state.error)}
                </p>
            ) : (
                <progress
                    aria-label={t("uploading", { name: upload.name })}
                    data-testid="upload-progress"
                    {...(state.kind === "uploading" ? { max: Math.max(1, state.total), value: state.sent } : {})}
                />
            )}
        </li>
    );
}
