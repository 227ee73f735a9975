/**
 * The list of tables in docs/data.md, out of the tables' own documentation.
 *
 *   node tools/data-tables.mjs           writes it
 *   node tools/data-tables.mjs --check   says whether what is there is true
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const folder = new URL("../engine/src/tables/", import.meta.url);
const page = new URL("../docs/data.md", import.meta.url);
const [START, END] = ["<!-- tables -->", "<!-- end of tables -->"];

/** What each kind of table says of how long its rows stay. */
const RESIDENCE = { lasting: "until deleted", expiring: "expires", append_only: "expires" };

const STATIC = /((?:^\/\/\/.*\n)+)pub static \w+: Table<[^;]*?Table::(lasting|expiring|append_only)\((\d+), "(\w+)"\);/gm;

function tables() {
    const found = [];
    for (const file of readdirSync(folder).sort()) {
        if (!file.endsWith(".rs")) continue;
        const source = readFileSync(new URL(file, folder), "utf8");
        const inFile = [...source.matchAll(STATIC)];
        const stated = source.match(/Table::(lasting|expiring|append_only)\(/g)?.length ?? 0;
        if (inFile.length !== stated) throw new Error(`${file}: ${stated} tables, but only ${inFile.length} with documentation of the expected form`);
        for (const [, comment, kind, id, name] of inFile) found.push({ id: Number(id), name, kind, ...read(comment) });
    }
    return found.sort((one, other) => one.id - other.id);
}

/** Documentation starts with the key's form; links of rustdoc become plain names. */
function read(comment) {
    const text = comment.replace(/^\/\/\/ ?/gm, "").replace(/\s+/g, " ").trim();
    const plain = text.replace(/\[`(?:\w+::)*(\w+)`\](?:\([^)]*\))?/g, "`$1`").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("|", "\\|");
    const [, key, rest] = /^`(\([^`]*\))`[.:,]? ?(.*)$/.exec(plain) ?? [null, "", plain];
    return { key, what: rest.charAt(0).toUpperCase() + rest.slice(1) };
}

const rows = tables().map(({ id, name, key, kind, what }) => `| ${id} | \`${name}\` | \`${key}\` | ${RESIDENCE[kind]} | ${what} |`);
const list = [START, "| id | table | key | stays | what, and what bounds it |", "| --- | --- | --- | --- | --- |", ...rows, END].join("\n");
const before = readFileSync(page, "utf8");
const after = before.replace(new RegExp(`${START}[^]*${END}`), () => list);
if (!before.includes(START)) throw new Error(`docs/data.md has no ${START}`);
if (process.argv.includes("--check")) {
    if (before !== after) {
        console.error("docs/data.md is not what the tables say: run node tools/data-tables.mjs");
        process.exit(1);
    }
} else {
    writeFileSync(page, after);
    console.log(`${rows.length} tables`);
}
