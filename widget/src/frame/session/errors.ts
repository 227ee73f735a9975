/** Errors of the homeserver, in the one shape the views know. */
import { ConnectionError, MatrixError } from "matrix-js-sdk";

/** A Matrix error answer to a request the widget makes itself. */
export class RequestFailed extends Error {
    constructor(
        readonly status: number,
        readonly errcode: string,
        message: string,
        readonly body: Record<string, unknown> = {},
    ) {
        super(message);
    }
}

/** Reads an answer that is not 2xx. */
export async function failure(response: Response): Promise<RequestFailed> {
    const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    const { errcode, error } = body;
    return new RequestFailed(
        response.status,
        typeof errcode === "string" ? errcode : "M_UNKNOWN",
        typeof error === "string" ? error : `HTTP ${response.status}`,
        body,
    );
}

/** What went wrong, whoever noticed. */
export interface Fault {
    kind: "offline" | "refused" | "too-large" | "quota" | "rate" | "gone" | "other";
    /** The server's sentence, when it wrote one for a person. */
    sentence?: string;
    /** When it can go on, Unix milliseconds of this machine. */
    retryAt?: number;
}

/** Sorts an error into what the person can do about it. */
export function faultOf(error: unknown, now: number): Fault {
    if (error instanceof MatrixError) {
        const data: Record<string, unknown> = { ...error.data };
        return sort(error.httpStatus ?? 0, error.errcode ?? "", data["error"], data, now);
    }
    if (error instanceof RequestFailed) return sort(error.status, error.errcode, error.message, error.body, now);
    if (
        error instanceof ConnectionError ||
        error instanceof TypeError ||
        (error instanceof DOMException && error.name === "AbortError")
    )
        return { kind: "offline" };
    return error instanceof Error ? { kind: "other", sentence: error.message } : { kind: "other" };
}

function sort(status: number, errcode: string, sentence: unknown, body: Record<string, unknown>, now: number): Fault {
    const fault: Fault = { kind: kindOf(status, errcode) };
    if (typeof sentence === "string" && sentence) fault.sentence = sentence;
    const after = body["retry_after_ms"];
    const at = body["org.vestibule.resets_at"];
    if (typeof after === "number") fault.retryAt = now + after;
    else if (typeof at === "number") fault.retryAt = at;
    return fault;
}

function kindOf(status: number, errcode: string): Fault["kind"] {
    if (errcode === "M_TOO_LARGE" || status === 413) return "too-large";
    if (errcode === "M_USER_LIMIT_EXCEEDED" || errcode === "M_RESOURCE_LIMIT_EXCEEDED") return "quota";
    if (errcode === "M_LIMIT_EXCEEDED" || status === 429) return "rate";
    if (errcode === "M_FORBIDDEN" || errcode === "M_INVITE_BLOCKED" || status === 403) return "refused";
    if (status === 404) return "gone";
    if (status === 0 || status >= 502) return "offline";
    return "other";
}
