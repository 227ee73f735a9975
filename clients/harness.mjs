/** The real homeserver, and devices run by real clients, each in a process of its own. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Platform } from "../widget/demonstration/platform.mjs";
import { MovedClock } from "./clock.mjs";

/** How long anything may take: a machine that builds beside the tests takes its time. */
const PATIENCE_MS = 120_000;

/** What runs a device of each kind. */
const DRIVERS = {
    "js-sdk": [process.execPath, "with_js_sdk.mjs"],
    nio: [process.env.VESTIBULE_CLIENTS_PYTHON ?? "python3", "with_nio.py"],
    mautrix: [process.env.VESTIBULE_CLIENTS_PYTHON ?? "python3", "with_mautrix.py"],
};
export const KINDS = Object.keys(DRIVERS);

const PASSWORD = "correct horse battery staple";

export async function within(what, promise) {
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${what}: nothing after ${PATIENCE_MS / 1000} s`)), PATIENCE_MS)));
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

export async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}

/** The release binary on a data folder of its own. */
export class Homeserver {
    /**
     * With more configuration than usual, as environment variables. `support`: an application service, not running, plays support.
     * `moved`: the test moves its `clock`.
     */
    static async start({ support = false, moved = false, ...environment } = {}) {
        const server = new Homeserver();
        server.folder = await mkdtemp(join(tmpdir(), "vestibule-clients."));
        server.environment = environment;
        if (support) await server.registerSupport();
        if (moved) {
            server.clock = await MovedClock.in(server.folder);
            Object.assign(environment, server.clock.environment);
        }
        server.port = await freePort();
        server.url = `http://127.0.0.1:${server.port}`;
        server.names = 0;
        await server.run();
        return server;
    }

    get env() {
        return {
            ...process.env,
            VESTIBULE_SERVER__NAME: "clients.test",
            VESTIBULE_SERVER__LISTEN: `127.0.0.1:${this.port}`,
            VESTIBULE_SERVER__DATA: join(this.folder, "data"),
            VESTIBULE_SERVER__ROOT_KEY: join(this.folder, "root.key"),
            VESTIBULE_SERVER__PUBLIC_URL: this.url,
            VESTIBULE_REGISTRATION__OPEN: "true",
            ...this.environment,
        };
    }

    async registerSupport() {
        const path = join(this.folder, "support.yaml");
        this.supportToken = randomBytes(24).toString("hex");
        const registration = {
            id: "support",
            url: null,
            as_token: this.supportToken,
            hs_token: randomBytes(24).toString("hex"),
            sender_localpart: "support",
            rate_limited: false,
            namespaces: { users: [{ exclusive: true, regex: "@support:.*" }], rooms: [], aliases: [] },
        };
        await writeFile(path, JSON.stringify(registration)); // JSON is YAML
        this.environment.VESTIBULE_APPSERVICES__REGISTRATIONS = JSON.stringify([path]);
    }

    /** The platform's back end, with a key of its own, which stays in `platformKey`. */
    async platform() {
        const { stdout } = await promisify(execFile)(process.env.VESTIBULE_BIN, ["--json", "keys", "create"], { env: this.env });
        this.platformKey = JSON.parse(stdout).key;
        return new Platform(this.url, this.platformKey);
    }

    async run() {
        assert.ok(process.env.VESTIBULE_BIN, "VESTIBULE_BIN names the binary");
        const log = createWriteStream(join(this.folder, "homeserver.log"), { flags: "a" });
        await once(log, "open");
        this.process = spawn(process.env.VESTIBULE_BIN, ["serve"], {
            stdio: ["ignore", log, log],
            env: this.env,
        });
        const answers = async () => {
            while (!(await fetch(`${this.url}/_matrix/client/versions`).then((response) => response.ok, () => false))) {
                assert.equal(this.process.exitCode, null, `the homeserver ended (${this.folder}/homeserver.log)`);
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
        };
        await within("the homeserver's start", answers()).catch((error) => {
            this.process.kill("SIGKILL");
            throw error;
        });
    }

    /** Ends the process as an operator does; its data stays. */
    async end() {
        if (this.process.exitCode !== null) return;
        this.process.kill("SIGTERM");
        await within("the homeserver's end", once(this.process, "exit"));
        assert.equal(this.process.exitCode, 0, "a clean end");
    }

    async restart() {
        await this.end();
        await this.run();
    }

    async stop() {
        await this.end();
        await rm(this.folder, { recursive: true });
    }

    /** A new account. */
    async account(name) {
        const username = `${name}${(this.names += 1)}`;
        const body = JSON.stringify({ username, password: PASSWORD, inhibit_login: true, auth: { type: "m.login.dummy" } });
        const response = await fetch(`${this.url}/_matrix/client/v3/register`, { method: "POST", body });
        assert.equal(response.status, 200, await response.text());
        return `@${username}:clients.test`;
    }

    /** What the server itself has of an event. */
    async event(device, room_id, event_id) {
        const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room_id)}/event/${encodeURIComponent(event_id)}`;
        const response = await fetch(this.url + path, { headers: { authorization: `Bearer ${device.access_token}` } });
        assert.equal(response.status, 200);
        return response.json();
    }
}

/** How an account of `Homeserver.account` logs in. */
export const passwordLogin = (user) => ({ type: "m.login.password", identifier: { type: "m.id.user", user }, password: PASSWORD });

/** A device of an account, run by a client of this kind. */
export class Device {
    /** Logs in with a new device. `test` ends it. */
    static async login(test, server, kind, user) {
        return Device.start(test, server, kind, "login", { user, password: PASSWORD });
    }

    /** The same for a user of the platform's, with what the platform has for their page. */
    static async enter(test, server, kind, { login_token, recovery_key }) {
        return Device.start(test, server, kind, "login_with_token", { login_token, recovery_key });
    }

    static async start(test, server, kind, verb, given) {
        const device = new Device(server, kind);
        device.store = join(server.folder, `${kind}-${(server.names += 1)}`);
        test.after(() => device.stop());
        device.spawn();
        Object.assign(device, await device.call(verb, { homeserver: server.url, store: device.store, ...given }));
        return device;
    }

    constructor(server, kind) {
        this.server = server;
        this.kind = kind;
    }

    spawn() {
        const [program, script] = DRIVERS[this.kind];
        this.process = spawn(program, [fileURLToPath(new URL(`drivers/${script}`, import.meta.url))], { stdio: ["pipe", "pipe", "pipe"] });
        this.exited = once(this.process, "exit");
        this.said = "";
        this.process.stderr.on("data", (text) => (this.said = (this.said + text).slice(-4000)));
        this.calls = new Map();
        createInterface({ input: this.process.stdout }).on("line", (line) => {
            const { id, result, error } = JSON.parse(line);
            const { resolve, reject } = this.calls.get(id);
            this.calls.delete(id);
            if (error === undefined) resolve(result);
            else reject(new Error(`${this.kind}: ${error}\n${this.said}`));
        });
        this.exited.then(() => {
            for (const { reject } of this.calls.values()) reject(new Error(`${this.kind} ended\n${this.said}`));
        });
    }

    call(verb, given = {}) {
        const id = (this.last = (this.last ?? 0) + 1);
        const answered = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
        this.process.stdin.write(`${JSON.stringify({ id, verb, arguments: given })}\n`);
        return within(`${this.kind} ${verb}`, answered).catch((error) => {
            if (!error.message.includes(this.said)) error.message += `\n${this.said}`;
            throw error;
        });
    }

    async stop() {
        if (this.process.exitCode !== null || this.process.signalCode !== null) return;
        await this.call("stop").catch(() => this.process.kill("SIGKILL"));
        await this.exited;
    }

    /** Ends the process and starts another one on the same store. */
    async restart() {
        await this.stop();
        this.spawn();
        const { user_id, device_id, access_token, store } = this;
        await this.call("resume", { homeserver: this.server.url, user_id, device_id, access_token, store });
    }
}

/** An encrypted room of devices that know each other. */
export async function roomOf(one, ...others) {
    const { room_id } = await one.call("create_room", { invite: others.map((other) => other.user_id) });
    for (const other of others) await other.call("join", { room_id });
    const everybody = [one, ...others];
    const user_ids = everybody.map((device) => device.user_id);
    await Promise.all(everybody.map((device) => device.call("see", { room_id, user_ids })));
    return room_id;
}

/** One says something, the other reads it, and the server has only its ciphertext. */
export async function say(room_id, from, to, text) {
    const { event_id } = await from.call("send_text", { room_id, text });
    assert.deepEqual(await to.call("receive", { room_id, event_id }), { sender: from.user_id, body: text, decrypted: true });
    const stored = await from.server.event(to, room_id, event_id);
    assert.equal(stored.type, "m.room.encrypted");
    assert.ok(!JSON.stringify(stored).includes(text));
    return event_id;
}

export async function sendFile(room_id, from, to, name, bytes) {
    const { event_id } = await from.call("send_file", { room_id, name, data: bytes.toString("base64") });
    const received = await to.call("receive", { room_id, event_id });
    assert.deepEqual(received, { sender: from.user_id, body: name, decrypted: true, data: bytes.toString("base64") });
}
