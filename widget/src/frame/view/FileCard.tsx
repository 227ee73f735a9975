/** A file in a message: a picture in its place, anything else as a card. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { FileInfo } from "../chat/message.ts";
import type { DownloadState, Downloads } from "../files/download.ts";
import { isPicture } from "../files/picture.ts";
import { sizeOf, t } from "../text/index.ts";
import { faultSentence } from "./Complaint.tsx";
import { Icon } from "./icons.tsx";

interface Props {
    downloads: Downloads;
    info: FileInfo;
}

export function FileCard({ downloads, info }: Props): JSX.Element {
    const state = downloads.state(info).value;
    const picture = isPicture(info.type, info.size);
    useEffect(() => {
        if (picture) void downloads.load(info);
    }, [info.file.url]);
    const save = async (): Promise<void> => {
        const address = await downloads.load(info);
        if (address) saveAs(address, info.name);
    };
    return (
        <div class="file" data-testid="file">
            {picture && <Picture state={state} info={info} />}
            <div class="file-row">
                <span class="file-icon">
                    <Icon name="document" />
                </span>
                <span class="names">
                    <span class="name" dir="auto">
                        {info.name}
                    </span>
                    <span class="size">{sizeOf(info.size)}</span>
                </span>
                <button
                    type="button"
                    class="plain"
                    data-testid="download"
                    aria-label={t("downloadFile", { name: info.name, size: sizeOf(info.size) })}
                    title={t("download")}
                    onClick={() => void save()}
                >
                    <Icon name="download" />
                </button>
            </div>
            {state.kind === "loading" && (
                <progress aria-label={t("downloading", { name: info.name })} max={Math.max(1, state.total)} value={state.got} />
            )}
            {state.kind === "failed" && (
                <p class="failure" role="alert">
                    <Icon name="warning" /> {state.fault === "tampered" ? t("fileTampered") : faultSentence(state.fault)}
                </p>
            )}
        </div>
    );
}

function Picture({ state, info }: { state: DownloadState; info: FileInfo }): JSX.Element {
    const size = info.width && info.height ? { width: info.width, height: info.height } : {};
    if (state.kind !== "done") return <div class="picture waiting" aria-hidden="true" />;
    return <img class="picture" src={state.address} alt={t("picture", { name: info.name })} {...size} />;
}

function saveAs(address: string, name: string): void {
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
}
