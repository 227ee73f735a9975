/** matrix-js-sdk in Node: the widget's own installation. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The SDK asks for Node 22; this is all that Node 20 lacks of what it uses.
Promise.withResolvers ??= () => {
    const parts = {};
    parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
    return parts;
};

const widget = createRequire(new URL("../../widget/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(widget.resolve(name)));

export const sdk = await load("matrix-js-sdk");
export const cryptoApi = await load("matrix-js-sdk/lib/crypto-api/index.js");

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => silent };

/** For clients in a test's own process, whose output is the runner's. Answers a logger for them; some parts of the SDK take none. */
export function silence() {
    for (const level of ["log", "info", "debug", "warn", "trace", "error"]) console[level] = () => {};
    return silent;
}
