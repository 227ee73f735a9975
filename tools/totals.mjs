/** Adds up what the runners of ./test say of themselves, and prints one closing line: `N passed, N failed, N skipped`. */
import { readFileSync } from "node:fs";

/** How each runner closes; the groups are counted. */
const CLOSINGS = [
    { name: "cargo test", passed: /^test result: .*? (\d+) passed/gm, failed: /^test result: .*? (\d+) failed/gm, skipped: /^test result: .*? (\d+) ignored/gm },
    { name: "vitest", passed: /^\s*Tests .*?(\d+) passed/gm, failed: /^\s*Tests .*?(\d+) failed/gm, skipped: /^\s*Tests .*?(\d+) skipped/gm },
    { name: "node", passed: /^(?:ℹ|#) pass (\d+)/gm, failed: /^(?:ℹ|#) fail (\d+)/gm, skipped: /^(?:ℹ|#) skipped (\d+)/gm },
    { name: "conformance, contract", passed: /^(\d+) passed, \d+ failed/gm, failed: /^\d+ passed, (\d+) failed/gm, skipped: /^\d+ passed, \d+ failed, (\d+) skipped/gm },
];

const colours = /\u001b\[[0-9;]*m/g;
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const path of process.argv.slice(2)) {
    const log = readFileSync(path, "utf8").replace(colours, "");
    for (const closing of CLOSINGS) {
        for (const key of Object.keys(totals)) {
            for (const [, count] of log.matchAll(closing[key])) totals[key] += Number(count);
        }
    }
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
