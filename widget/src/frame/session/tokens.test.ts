import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Tokens } from "./tokens.ts";

const BASE = "https://matrix.example.org";
type Answer = [status: number, body: Record<string, unknown>];
let log: string[];
let answers: (request: string) => Answer;

beforeEach(() => {
    vi.useFakeTimers();
    log = [];
    vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
        const token = new Headers(init?.headers).get("Authorization") ?? "none";
        const request = `${new URL(String(input)).pathname.split("/").pop()} ${token}`;
        log.push(request);
        const [status, body] = answers(request);
        return new Response(JSON.stringify(body), { status });
    });
});
afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
});

const unknown: Answer = [401, { errcode: "M_UNKNOWN_TOKEN", soft_logout: true }];
const hard: Answer = [401, { errcode: "M_UNKNOWN_TOKEN" }];
const ask = (tokens: Tokens): Promise<Response> => tokens.fetch(`${BASE}/sync`, { headers: { Authorization: "Bearer stale" } });

test("a token is refreshed before it expires, once for all who wait", async () => {
    answers = (request) =>
        request.startsWith("refresh") ? [200, { access_token: "b", refresh_token: "s", expires_in_ms: 300_000 }] : [200, {}];
    const tokens = new Tokens(BASE, { access_token: "a", refresh_token: "r", expires_in_ms: 300_000 });
    await ask(tokens);
    vi.setSystemTime(Date.now() + 280_000);
    await Promise.all([ask(tokens), ask(tokens)]);
    expect(log).toEqual(["sync Bearer a", "refresh none", "sync Bearer b", "sync Bearer b"]);
});

test("a soft logout is healed by a refresh, and the request is made again", async () => {
    answers = (request) =>
        request.startsWith("refresh") ? [200, { access_token: "b" }] : request.endsWith(" a") ? unknown : [200, {}];
    const tokens = new Tokens(BASE, { access_token: "a", refresh_token: "r" });
    const seen: string[] = [];
    tokens.onAccess = (token): void => void seen.push(token);
    expect((await ask(tokens)).status).toBe(200);
    expect(log).toEqual(["sync Bearer a", "refresh none", "sync Bearer b"]);
    expect(seen).toEqual(["b"]);
});

test("a hard logout is the caller's to handle", async () => {
    answers = () => hard;
    expect((await ask(new Tokens(BASE, { access_token: "a", refresh_token: "r" }))).status).toBe(401);
    expect(log).toEqual(["sync Bearer a"]);
});

test("the token goes to the homeserver only", async () => {
    answers = () => [200, {}];
    await new Tokens(BASE, { access_token: "a" }).fetch("https://elsewhere.example/x", {
        headers: { Authorization: "Bearer own" },
    });
    await new Tokens(BASE, { access_token: "a" }).fetch(`${BASE}/versions`);
    expect(log).toEqual(["x Bearer own", "versions none"]);
});
