import { ConnectionError, MatrixError } from "matrix-js-sdk";
import { expect, test } from "vitest";
import { faultOf, RequestFailed, type Fault } from "./errors.ts";

const NOW = 1_000_000;

test.each<[string, unknown, Fault]>([
    ["no network", new ConnectionError("fetch failed"), { kind: "offline" }],
    ["fetch's own error", new TypeError("Failed to fetch"), { kind: "offline" }],
    [
        "a refusal, with its sentence",
        new MatrixError({ errcode: "M_FORBIDDEN", error: "Chat is switched off." }, 403),
        { kind: "refused", sentence: "Chat is switched off." },
    ],
    ["one file too large", new RequestFailed(413, "M_TOO_LARGE", "too large"), { kind: "too-large", sentence: "too large" }],
    [
        "the day's amount",
        new MatrixError({ errcode: "M_USER_LIMIT_EXCEEDED", error: "1 GB a day", "org.vestibule.resets_at": 5_000_000 }, 403),
        { kind: "quota", sentence: "1 GB a day", retryAt: 5_000_000 },
    ],
    [
        "too fast",
        new MatrixError({ errcode: "M_LIMIT_EXCEEDED", error: "slow down", retry_after_ms: 2_000 }, 429),
        { kind: "rate", sentence: "slow down", retryAt: NOW + 2_000 },
    ],
    ["gone", new RequestFailed(404, "M_NOT_FOUND", "no such file"), { kind: "gone", sentence: "no such file" }],
    ["a server behind a proxy that is down", new RequestFailed(502, "M_UNKNOWN", "HTTP 502"), { kind: "offline", sentence: "HTTP 502" }],
    ["anything else", new Error("surprise"), { kind: "other", sentence: "surprise" }],
])("%s", (_, error, fault) => {
    expect(faultOf(error, NOW)).toEqual(fault);
});
