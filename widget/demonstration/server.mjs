/**
 * The demonstration platform: a small video-visit web application beside Vestibule.
 *
 * It plays the back end a real platform has: it provisions an organization, two hosts and a session over the platform API,
 * keeps the recovery keys, and serves a host's page and a waiting room, each with Vestibule's one script tag.
 *
 *   node server.mjs --homeserver http://127.0.0.1:8008 --key-file platform.key --state demonstration.json --listen 127.0.0.1:8090
 *
 * Node 20 or later, nothing else.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { hostPage, indexPage, waitingRoomPage } from "./pages.mjs";
import { Platform, Problem } from "./platform.mjs";
import { provision } from "./provision.mjs";
import { State } from "./state.mjs";

const { values: options } = parseArgs({
    options: {
        homeserver: { type: "string", default: "http://127.0.0.1:8008" },
        "public-homeserver": { type: "string" },
        "key-file": { type: "string" },
        state: { type: "string", default: "demonstration.json" },
        listen: { type: "string", default: "127.0.0.1:8090" },
    },
});

/** Cookies of this run are signed with it; a restart logs everybody out, which a demonstration may. */
const cookieSecret = randomBytes(32);

function signature(person) {
    return createHmac("sha256", cookieSecret).update(person).digest("hex");
}

/** Whether the browser that asks was given this person's page. A real platform looks at its own session here. */
function isLoggedIn(request, person) {
    const cookies = new Map((request.headers.cookie ?? "").split(/;\s*/).map((pair) => pair.split("=", 2)));
    const given = Buffer.from(cookies.get(`platform_${person}`) ?? "");
    const wanted = Buffer.from(signature(person));
    return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function answer(response, status, type, body, headers = {}) {
    response.writeHead(status, {
        "Content-Type": type,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        ...headers,
    });
    response.end(body);
}

/** A page, with the policy a careful platform would set: scripts and frames from itself and from Vestibule only. */
function answerPage(response, homeserver, html, person) {
    const origin = new URL(homeserver).origin;
    answer(response, 200, "text/html; charset=utf-8", html, {
        "Content-Security-Policy": `default-src 'self'; script-src ${origin}; frame-src ${origin}; style-src 'self'; base-uri 'none'; form-action 'self'`,
        ...(person ? { "Set-Cookie": `platform_${person}=${signature(person)}; Path=/; HttpOnly; SameSite=Strict` } : {}),
    });
}

/** What the widget asks for at each start: who the page is for, a token for one login, the key of the user's secret storage. */
async function answerCredentials(request, response, platform, people, person) {
    const user = people.get(person);
    if (!user || !isLoggedIn(request, person)) return answer(response, 403, "application/json", "{}");
    const { user_id, recovery_key } = user;
    let login_token;
    try {
        ({ login_token } = await platform.createLoginToken(user_id));
    } catch (error) {
        // Vestibule knows the user no more: the session is over.
        if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429)
            return answer(response, 410, "application/json", "{}");
        throw error;
    }
    answer(response, 200, "application/json", JSON.stringify({ user_id, login_token, recovery_key }));
}

function route(context, request, response) {
    const { platform, demonstration, homeserver, styles } = context;
    const url = new URL(request.url, "http://demonstration");
    const { hosts, visit, people } = demonstration;
    const language = url.searchParams.get("lang") ?? "en";
    switch (`${request.method} ${url.pathname}`) {
        case "GET /":
            return answerPage(response, homeserver, indexPage(hosts, visit));
        case "GET /host": {
            const host = hosts.find(({ id }) => id === url.searchParams.get("as")) ?? hosts[0];
            return answerPage(response, homeserver, hostPage({ homeserver, host, hosts, visit, language }), host.id);
        }
        case "GET /waiting-room": {
            const invitee = visit.invitees.find(({ id }) => id === url.searchParams.get("as")) ?? visit.invitees[0];
            return answerPage(response, homeserver, waitingRoomPage({ homeserver, visit, invitee, language }), invitee.id);
        }
        case "POST /vestibule/credentials":
            return answerCredentials(request, response, platform, people, url.searchParams.get("person") ?? "");
        case "GET /style.css":
            return answer(response, 200, "text/css", styles);
        default:
            return answer(response, 404, "text/plain", "There is no such page.\n");
    }
}

async function main() {
    if (!options["key-file"])
        throw new Error("--key-file is missing: a file with the platform key, made by `vestibule keys create`");
    const [key] = (await readFile(options["key-file"], "utf8")).trim().split(/\s/); // what the command says after the key is for people
    const platform = new Platform(options.homeserver, key);
    const demonstration = await provision(platform, await State.open(options.state));
    const styles = await readFile(new URL("style.css", import.meta.url));
    const context = { platform, demonstration, styles, homeserver: options["public-homeserver"] ?? options.homeserver };
    const server = createServer((request, response) => {
        Promise.resolve()
            .then(() => route(context, request, response))
            .catch((error) => {
                console.error(`${request.method} ${request.url}: ${error.message}`);
                if (!response.headersSent) answer(response, 502, "application/json", "{}");
            });
    });
    const [, address, port] = /^(.*):(\d+)$/.exec(options.listen) ?? [];
    server.listen(Number(port), address, () => console.log(`demonstration ready on http://${options.listen}`));
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(0));
}

main().catch((error) => {
    console.error(`demonstration: ${error.message}`);
    process.exit(1);
});
