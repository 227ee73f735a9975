/**
 * Reads cargo's JSON messages and prints one line for every test binary: part, package folder, file, separated by tabs.
 *
 *   cargo test --no-run --message-format=json … | node tools/test-binaries.mjs
 *
 * Every binary belongs to exactly one part of ./test, so that none can be forgotten.
 */
import { dirname } from "node:path";
import { createInterface } from "node:readline";

/** The part a test target belongs to. */
function partOf(folder, target) {
    const integration = target.kind.includes("test");
    if (/\/(bridge|appservice)$/.test(folder)) return "bridge";
    if (folder.endsWith("/journal")) return "journal";
    if (integration && folder.endsWith("/homeserver")) return ["crash", "s3"].includes(target.name) ? target.name : "server";
    return "unit";
}

for await (const line of createInterface({ input: process.stdin })) {
    if (!line.startsWith("{")) continue;
    const message = JSON.parse(line);
    if (message.reason !== "compiler-artifact" || !message.profile.test || !message.executable) continue;
    const folder = dirname(message.manifest_path);
    console.log([partOf(folder, message.target), folder, message.executable].join("\t"));
}
