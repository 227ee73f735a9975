/** What the contract's check lets pass, and what it does not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "vestibule-contract."));
after(() => rmSync(folder, { recursive: true }));

const json = (schema) => ({ content: { "application/json": { schema } } });
const user = { type: "object", required: ["name"], properties: { name: { type: "string" }, id: { type: "string", format: "mx-user-id" } } };
const step = { type: "object", required: ["flows"], properties: { flows: { type: "array" } } };
const paths = {
    "/_matrix/client/v3/users/{userId}": { get: { responses: { 200: json(user), 404: json({ type: "object" }) } } },
    "/_matrix/client/v3/users/me": { get: { responses: { 200: json({ type: "object", required: ["mine"] }) } } },
    "/_matrix/client/v3/close": { post: { requestBody: json({ properties: { auth: {} } }), responses: { 200: json({}), 401: json(step) } } },
    "/_matrix/app/v1/transactions/{txnId}": { put: { requestBody: json({ type: "object", required: ["events"] }), responses: { 200: json({}) } } },
};
writeFileSync(join(folder, "published.json"), JSON.stringify({ paths }));

function check(line) {
    const file = join(folder, "answers.jsonl");
    // One that is always right, so that the totals are of something.
    const lines = [{ method: "GET", path: "/_matrix/client/v3/users/@a:b", status: 200, type: "application/json", body: { name: "a" } }, line];
    writeFileSync(file, lines.map((each) => JSON.stringify({ test: "t", type: "application/json", ...each })).join("\n"));
    return spawnSync(process.execPath, [fileURLToPath(new URL("../contract.mjs", import.meta.url)), file, folder], { encoding: "utf8" });
}

const get = (path, status, body, more) => ({ method: "GET", path: `/_matrix/client/v3/${path}`, status, body, ...more });
const error = { errcode: "M_FORBIDDEN", error: "not for you" };

for (const [what, line] of [
    ["a documented answer", get("users/@a:b", 200, { name: "a", id: "@a:b", more: 1 })],
    ["an older version of the path", { ...get("", 200, { name: "a" }), path: "/_matrix/client/r0/users/@a:b" }],
    ["a standard error nobody documented", get("users/@a:b", 403, error)],
    ["an unknown method", { ...get("users/@a:b", 405, error), method: "DELETE" }],
    ["a step of authentication", { method: "POST", path: "/_matrix/client/v3/close", status: 401, body: { flows: [] } }],
    ["a call with what it must have", { method: "PUT", path: "/_matrix/app/v1/transactions/1", body: { events: [] } }],
    ["what an extension's parameter asks for", get("users/@a:b", 200, { delay_id: "d" }, { query: ["org.matrix.msc4140.delay"] })],
    ["a part of a file", get("users/@a:b", 206, null, { type: "text/plain" })],
]) {
    test(`passes: ${what}`, () => {
        const { status, stdout, stderr } = check(line);
        assert.equal(status, 0, stdout + stderr);
    });
}

for (const [what, line, told] of [
    ["a missing member", get("users/@a:b", 200, {}), /GET \S+\/users\/\{userId\} 200 \/ must have required property 'name'/],
    ["an error of an extension", get("users/@a:b", 400, {}, { query: ["org.matrix.msc4140.delay"] }), /\/errcode a standard error's code/],
    ["null for what is not there", get("users/@a:b", 200, { name: null }), /\/name must be string/],
    ["an id of another form", get("users/@a:b", 200, { name: "a", id: "a" }), /\/id must match format "mx-user-id"/],
    ["the more general path's shape", get("users/me", 200, { name: "a" }), /users\/me 200 \/ must have required property 'mine'/],
    ["a status nobody documented", get("users/@a:b", 201, { name: "a" }), /one of the statuses 200, 404/],
    ["an error without a sentence", get("users/@a:b", 404, { errcode: "M_NOT_FOUND" }), /\/error a standard error's sentence/],
    ["an error of an unknown path", get("nowhere", 404, "gone"), /an unpublished path 404 \/errcode/],
    ["another content type", get("users/@a:b", 200, null, { type: "text/plain" }), /application\/json/],
    ["authentication where there is none", get("users/@a:b", 401, { flows: [] }), /no user-interactive authentication/],
    ["a call without what it must have", { method: "PUT", path: "/_matrix/app/v1/transactions/1", body: {} }, /\(a call\) \/ must have required property 'events'/],
]) {
    test(`fails: ${what}`, () => {
        const { status, stdout, stderr } = check(line);
        assert.equal(status, 1, stdout);
        assert.match(stderr, told);
        assert.match(stdout, /passed, 1 failed/);
    });
}
