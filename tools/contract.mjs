/**
 * Holds what the server's tests recorded (homeserver/tests/support/record.rs) against the published OpenAPI shapes of Matrix.
 *
 *   node tools/contract.mjs ANSWERS.jsonl OPENAPI_FOLDER
 *
 * Every answer of a published endpoint must have a documented status and its shape, or be a standard error; every call that the server
 * makes (to application services, push gateways) must have the published request's shape. Each deviation is told with its endpoint,
 * the JSON pointer and what was expected, once, and fails.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

/**
 * Proven errors of the published shapes, and nothing else; `deviation` matches pointer and expectation.
 */
const PUBLISHED_WRONG = [
    {
        endpoint: "GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        deviation: /^\/ must match exactly one schema in oneOf {"passingSchemas":\[0,1\]}$/,
        reason: "one of any object and a whole event, but a whole event is an object too",
    },
    {
        endpoint: "GET /_matrix/client/v3/rooms/{roomId}/joined_members",
        deviation: /^\/joined\/[^/]+\/avatar_url must be string /,
        reason: "Complement's TestRoomState asks for the key of somebody without a picture, where nothing but null is true",
    },
];

/** Identifiers, as the appendices of the specification write them. */
const FORMATS = {
    "mx-user-id": /^@[^:]*:.+$/,
    // From room version 12 on a room's id has no server.
    "mx-room-id": /^!.+$/,
    "mx-event-id": /^\$.+$/,
    "mx-room-alias": /^#[^:]*:.+$/,
    "mx-server-name": /^[0-9A-Za-z.:[\]-]+$/,
    "mx-mxc-uri": /^mxc:\/\/[^/]+\/[^/]+$/,
};

const ajv = addFormats(new Ajv2020({ allErrors: true, strict: false, formats: FORMATS }));
const compiled = new Map();

/** Like `[{ pointer, expected }]`; empty if `value` has the shape. */
function deviations(schema, value) {
    if (!compiled.has(schema)) compiled.set(schema, ajv.compile(schema));
    const validate = compiled.get(schema);
    if (validate(value)) return [];
    return validate.errors.map(({ instancePath, message, params }) => ({ pointer: instancePath || "/", expected: `${message} ${JSON.stringify(params)}` }));
}

/** `[{ name, method, segments, operation }]` of all published documents. */
function endpoints(folder) {
    const found = [];
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
        const { paths } = JSON.parse(readFileSync(join(folder, file), "utf8"));
        for (const [path, operations] of Object.entries(paths)) {
            for (const [method, operation] of Object.entries(operations)) {
                // One path is published twice, told apart by a blank at its end.
                const [name, upper] = [path.trim(), method.toUpperCase()];
                if (!operation.responses || found.some((known) => known.name === name && known.method === upper)) continue;
                found.push({ name, method: upper, segments: name.split("/"), operation });
            }
        }
    }
    return found;
}

/** What HTTP itself answers to conditional and range requests (RFC 9110), with whatever body. */
const HTTP_OWN = new Set([206, 304, 416]);

/** Parameters of extensions by which a client asks for another answer than the published one. */
const OTHER_ANSWER = {
    "org.matrix.msc4140.delay": "a delayed event has no event_id yet, but a delay_id",
};

const isVariable = (segment) => segment.startsWith("{");

/** The published endpoints at this path, the one with the most literal segments first. */
function at(all, path) {
    const segments = path.replace(/^(\/_matrix\/(?:client|media))\/r0\//, "$1/v3/").split("/");
    const fits = (endpoint, given) =>
        endpoint.segments.length === given.length && endpoint.segments.every((segment, index) => isVariable(segment) || segment === given[index]);
    const literals = (endpoint) => endpoint.segments.filter((segment) => !isVariable(segment)).length;
    let found = all.filter((endpoint) => fits(endpoint, segments));
    // An empty state key may be left out together with its slash.
    if (found.length === 0) found = all.filter((endpoint) => endpoint.name.endsWith("/state/{eventType}/{stateKey}") && fits(endpoint, [...segments, ""]));
    const most = Math.max(...found.map(literals));
    return found.filter((endpoint) => literals(endpoint) === most);
}

const jsonSchema = (part) => part?.content?.["application/json"]?.schema;

/** A standard error response: `errcode` and a sentence (client-server API, "Standard error response"). */
function standardError(status, body) {
    const found = [];
    if (typeof body?.errcode !== "string" || !/^[A-Z0-9._a-z]*[A-Z_]+$/.test(body.errcode)) found.push({ pointer: "/errcode", expected: "a standard error's code" });
    if (typeof body?.error !== "string" || body.error === "") found.push({ pointer: "/error", expected: "a standard error's sentence" });
    if (body?.retry_after_ms !== undefined && !Number.isInteger(body.retry_after_ms)) found.push({ pointer: "/retry_after_ms", expected: "an integer" });
    return found;
}

/** The next step of user-interactive authentication. Some endpoints that take part in it are published without this answer. */
function checkInteractive(all, endpoint, body) {
    const takesPart = ({ operation }) => jsonSchema(operation.requestBody)?.properties?.auth !== undefined;
    const shaped = [endpoint, ...all].map((known) => jsonSchema(known?.operation.responses[401])).find((schema) => schema?.properties?.flows);
    return endpoint && takesPart(endpoint) ? deviations(shaped, body) : [{ pointer: "/flows", expected: "no user-interactive authentication" }];
}

function checkAnswer(all, endpoint, { status, type, body }) {
    if (HTTP_OWN.has(status)) return [];
    const published = endpoint?.operation.responses[status];
    const schema = jsonSchema(published);
    if (status >= 400) {
        if (status === 401 && body?.flows !== undefined) return checkInteractive(all, endpoint, body);
        const found = standardError(status, body);
        if (type !== "application/json") found.push({ pointer: "", expected: "application/json" });
        return schema && status !== 401 ? [...found, ...deviations(schema, body)] : found;
    }
    if (!published) return [{ pointer: "", expected: `one of the statuses ${Object.keys(endpoint.operation.responses).join(", ")}` }];
    if (schema) return type === "application/json" ? deviations(schema, body) : [{ pointer: "", expected: "application/json" }];
    return published.content && status === 200 && !type ? [{ pointer: "", expected: "a content type" }] : [];
}

function checkCall(endpoint, { body }) {
    const schema = jsonSchema(endpoint.operation.requestBody);
    return schema ? deviations(schema, body) : [];
}

/** Endpoint → what of it was seen. */
class Tally {
    answers = 0;
    calls = 0;
    unpublished = 0;
    passed = new Set();
    failed = new Map();
    excused = new Set();

    add(label, line, found) {
        for (const { pointer, expected } of found) {
            // Places of lists and ids of users, rooms and events differ from line to line.
            const place = pointer.replace(/\/(\d+|[@!$][^/]*)(?=\/|$)/g, "/*");
            const excuse = PUBLISHED_WRONG.find((entry) => entry.endpoint === label && entry.deviation.test(`${pointer} ${expected}`));
            if (excuse) {
                this.excused.add(excuse);
                continue;
            }
            if (!this.failed.has(label)) this.failed.set(label, new Map());
            const told = this.failed.get(label);
            const sentence = `${label}${line.status ? ` ${line.status}` : " (a call)"} ${place} ${expected}`;
            if (!told.has(sentence)) told.set(sentence, line);
        }
        if (!this.failed.has(label)) this.passed.add(label);
        else this.passed.delete(label);
    }
}

const MATRIX = /^\/(_matrix|\.well-known\/matrix)\//;

function check(lines, all) {
    const tally = new Tally();
    for (const line of lines) {
        // What browsers ask before a call, and answers without a body, have no published shape.
        if (line.method === "OPTIONS" || line.method === "HEAD" || !MATRIX.test(line.path)) continue;
        const here = at(all, line.path);
        const endpoint = here.find((known) => known.method === line.method);
        const label = endpoint ? `${endpoint.method} ${endpoint.name}` : here.length > 0 ? `${line.method} ${here[0].name}` : "an unpublished path";
        if (line.status === undefined) {
            tally.calls += 1;
            if (endpoint) tally.add(label, line, checkCall(endpoint, line));
        } else if (endpoint && line.status < 400 && line.query?.some((name) => name in OTHER_ANSWER)) {
            tally.unpublished += 1;
        } else if (endpoint) {
            tally.answers += 1;
            tally.add(label, line, checkAnswer(all, endpoint, line));
        } else if (line.status >= 400) {
            tally.answers += 1;
            const found = checkAnswer(all, undefined, line);
            if (found.length > 0) tally.add(label, line, found);
        } else {
            // Extensions under unstable names, and calls that no published version has yet.
            tally.unpublished += 1;
        }
    }
    return tally;
}

const [file, folder] = process.argv.slice(2);
if (!folder) throw new Error("usage: node tools/contract.mjs ANSWERS.jsonl OPENAPI_FOLDER");
const lines = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const all = endpoints(folder);
const tally = check(lines, all);
for (const told of tally.failed.values()) {
    for (const [sentence, line] of told) console.error(`${sentence}\n    in ${line.test}: ${line.method} ${line.path}\n    ${JSON.stringify(line.body)?.slice(0, 400)}`);
}
for (const { endpoint, reason } of tally.excused) console.log(`excused: ${endpoint}: ${reason}`);
const covered = all.filter(({ method, name }) => tally.passed.has(`${method} ${name}`) || tally.failed.has(`${method} ${name}`)).length;
console.log(
    `contract: ${tally.answers} answers and ${tally.calls} calls checked, ${covered} of ${all.length} published endpoints covered, ` +
        `${tally.unpublished} answers of paths that are not published`,
);
console.log(`${covered - [...tally.failed.keys()].filter((label) => all.some(({ method, name }) => label === `${method} ${name}`)).length} passed, ${tally.failed.size} failed`);
if (tally.answers === 0) throw new Error(`${file} has no answer`);
process.exitCode = tally.failed.size > 0 ? 1 : 0;
