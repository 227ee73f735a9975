/** What went wrong, in a person's words. */
import type { JSX } from "preact";
import { FileTooLarge } from "../files/upload.ts";
import { faultOf, type Fault } from "../session/errors.ts";
import { sizeOf, t, timeOf } from "../text/index.ts";
import { Icon } from "./icons.tsx";

/** The sentence for a fault. The server's own is preferred where it knows more than we do. */
export function faultSentence(fault: Fault): string {
    switch (fault.kind) {
        case "offline":
            return t("faultOffline");
        case "rate":
            return t("faultRate");
        case "too-large":
            return t("fileTooLargeUnknown");
        case "quota":
            return fault.retryAt === undefined
                ? (fault.sentence ?? t("fileQuota"))
                : t("fileQuotaUntil", { time: timeOf(fault.retryAt, Date.now()) });
        case "refused":
            return fault.sentence ?? t("faultRefused");
        case "gone":
            return t("fileGone");
        case "other":
            return t("faultOther");
    }
}

/** The sentence for anything thrown. */
export function errorSentence(error: unknown): string {
    if (error instanceof FileTooLarge) return t("fileTooLarge", { limit: sizeOf(error.size_max) });
    return faultSentence(faultOf(error, Date.now()));
}

export function Complaint({ error }: { error: unknown }): JSX.Element {
    return (
        <div role="alert">
            {error !== undefined && (
                <p class="complaint">
                    <Icon name="warning" /> {errorSentence(error)}
                </p>
            )}
        </div>
    );
}
