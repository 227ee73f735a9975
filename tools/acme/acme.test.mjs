/** The release binary and an authority that is real but for its trust: a certificate is had, shown, renewed, and outlives both. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { promisify } from "node:util";

/** How long anything may take: a machine that builds beside the tests takes its time. */
const PATIENCE_MS = 120_000;

/** Seconds that a certificate is good for. Renewed with a third to a sixth of it left. */
const LIFETIME_S = 45;

const DOMAINS = ["chat.example.org", "www.chat.example.org"];

let folder, ports, server, authority, names;

/** What `look` finds, as soon as it finds something. */
async function eventually(what, look) {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
        const found = await look();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail(`${what}: not after ${PATIENCE_MS / 1000} s\n${await log("server")}`);
}

async function freePorts(count) {
    const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
    await Promise.all(servers.map((each) => once(each, "listening")));
    const found = servers.map((each) => each.address().port);
    await Promise.all(servers.map((each) => once(each.close(), "close")));
    return found;
}

/** Starts a process with a log of its own. */
function start(name, program, given, env = {}) {
    const out = openSync(join(folder, `${name}.log`), "a");
    const started = spawn(program, given, { stdio: ["ignore", out, out], env: { ...process.env, ...env } });
    closeSync(out);
    return started;
}

async function stop(started) {
    if (!started || started.exitCode !== null || started.signalCode !== null) return;
    started.kill("SIGTERM");
    await once(started, "exit");
}

const log = (name) => readFile(join(folder, `${name}.log`), "utf8").catch(() => "");

function startServer() {
    server = start("server", process.env.VESTIBULE_BIN, ["serve"], {
        NO_COLOR: "1",
        VESTIBULE_SERVER__NAME: DOMAINS[0],
        VESTIBULE_SERVER__LISTEN: `127.0.0.1:${ports.server}`,
        VESTIBULE_SERVER__DATA: join(folder, "data"),
        VESTIBULE_SERVER__ROOT_KEY: join(folder, "root.key"),
        VESTIBULE_TLS__ACME__DIRECTORY: `https://localhost:${ports.directory}/dir`,
        VESTIBULE_TLS__ACME__TERMS_OF_SERVICE_AGREED: "true",
        VESTIBULE_TLS__ACME__CONTACT: "admin@example.org",
        VESTIBULE_TLS__ACME__DOMAINS: JSON.stringify(DOMAINS),
        VESTIBULE_TLS__ACME__ROOT: join(folder, "directory.pem"),
    });
}

/** Pebble keeps nothing: each start is another authority behind the same address. It refuses some nonces, as real ones do. */
async function startAuthority() {
    const program = join(process.env.PEBBLE_BINARIES, "pebble");
    const env = { PEBBLE_VA_NOSLEEP: "1", PEBBLE_AUTHZREUSE: "0" };
    authority = start("authority", program, ["-config", join(folder, "pebble.json"), "-dnsserver", `127.0.0.1:${ports.names}`], env);
    return eventually("the authority's start", () => answer(ports.management, "/roots/0", { ca: directoryRoot }).then(({ body }) => body, () => null));
}

let directoryRoot;

function answer(port, path, options) {
    return new Promise((resolve, reject) => {
        const request = get({ host: "127.0.0.1", port, path, agent: false, ...options }, async (response) => {
            let body = "";
            for await (const part of response.setEncoding("utf8")) body += part;
            resolve({ status: response.statusCode, headers: response.headers, body });
        });
        request.on("error", reject);
    });
}

/** Shakes hands with the server as a client that trusts `ca` alone, or anybody. */
function shakeHands({ ca, domain = DOMAINS[0], protocols = ["h2", "http/1.1"] } = {}) {
    return new Promise((resolve, reject) => {
        const options = { host: "127.0.0.1", port: ports.server, servername: domain, ALPNProtocols: protocols };
        const socket = connect({ ...options, ca, rejectUnauthorized: ca !== undefined }, () => {
            const { serialNumber, valid_from, valid_to, subjectaltname } = socket.getPeerCertificate();
            const shown = { serialNumber, from: Date.parse(valid_from), until: Date.parse(valid_to), subjectaltname };
            resolve({ ...shown, protocol: socket.alpnProtocol, version: socket.getProtocol() });
            socket.destroy();
        });
        socket.on("error", reject);
    });
}

/** Until another certificate than `serialNumber` is shown. */
const another = (serialNumber, ca) =>
    eventually("another certificate", () => shakeHands({ ca }).then((shown) => shown.serialNumber !== serialNumber && shown, () => null));

before(async () => {
    folder = await mkdtemp(join(tmpdir(), "vestibule-acme."));
    const [serverPort, directory, management, namesPort] = await freePorts(4);
    ports = { server: serverPort, directory, management, names: namesPort };
    const [certificate, key] = [join(folder, "directory.pem"), join(folder, "directory.key")];
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=the directory"];
    const extensions = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    await promisify(execFile)("openssl", [...request, ...extensions, "-out", certificate, "-keyout", key]);
    directoryRoot = await readFile(certificate);
    const pebble = {
        listenAddress: `127.0.0.1:${ports.directory}`,
        managementListenAddress: `127.0.0.1:${ports.management}`,
        certificate,
        privateKey: key,
        tlsPort: ports.server,
        retryAfter: { authz: 1, order: 1 },
        profiles: { default: { description: "short", validityPeriod: LIFETIME_S } },
    };
    await writeFile(join(folder, "pebble.json"), JSON.stringify({ pebble }));
    // A name server for which every name is this machine.
    const silent = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", "", "-defaultIPv6", ""];
    names = start("names", join(process.env.PEBBLE_BINARIES, "pebble-challtestsrv"), [...silent, "-dnsserver", `127.0.0.1:${ports.names}`]);
});

let failed = false;
after(async () => {
    for (const started of [server, authority, names]) await stop(started);
    if (failed) console.log(`logs: ${folder}`);
    else await rm(folder, { recursive: true });
});

/** One after the other; what comes after a failure would only repeat it. */
function step(name, run) {
    test(name, async (t) => {
        if (failed) return t.skip("one before it failed");
        failed = true;
        await run();
        failed = false;
    });
}

let root, shown;

step("without a certificate and an authority handshakes end with an alert", async () => {
    startServer();
    await eventually("a failure in the log", async () => (await log("server")).includes("no TLS certificate was had"));
    await assert.rejects(shakeHands(), (error) => /alert/i.test(error.message));
    assert.equal(server.exitCode, null);
});

step("the certificate is had as soon as the authority is there", async () => {
    root = await startAuthority();
    shown = await another(undefined, root);
    assert.deepEqual(shown.subjectaltname.split(", ").sort(), DOMAINS.map((domain) => `DNS:${domain}`));
    assert.deepEqual([shown.protocol, shown.version], ["h2", "TLSv1.3"]);
    assert.equal((await shakeHands({ ca: root, domain: DOMAINS[1] })).serialNumber, shown.serialNumber);
    const { status, headers } = await answer(ports.server, "/_matrix/client/versions", { servername: DOMAINS[0], ca: root });
    assert.deepEqual([status, headers["strict-transport-security"]], [200, "max-age=31536000"]);
});

step("nobody is answered as an authority when nothing was asked for", async () => {
    await assert.rejects(shakeHands({ protocols: ["acme-tls/1"] }), (error) => /alert/i.test(error.message));
    assert.equal((await shakeHands({ protocols: ["acme-tls/1", "http/1.1"] })).protocol, "http/1.1");
});

step("the account and the certificate are the owner's alone", async () => {
    const cache = join(folder, "data", "acme", `localhost_${ports.directory}_dir`);
    assert.deepEqual((await readdir(cache)).sort(), ["account.json", "certificate.pem"]);
    for (const name of await readdir(cache)) assert.equal((await stat(join(cache, name))).mode & 0o777, 0o600, name);
    assert.equal((await stat(cache)).mode & 0o777, 0o700);
});

step("it is renewed before its end", async () => {
    const first = shown;
    shown = await another(first.serialNumber, root);
    assert.ok(shown.from < first.until, `${shown.from} ${first.until}`);
    assert.equal((await log("server")).match(/made an account/g).length, 1);
    // The authority was asked when, and told which one it replaces.
    assert.match(await log("authority"), /GET \S*renewalInfo/);
    assert.match(await log("authority"), /is a replacement of/);
});

step("the old certificate is shown while there is no authority", async () => {
    await stop(authority);
    await eventually("a failure in the log", async () => (await log("server")).includes("the TLS certificate was not renewed"));
    assert.equal((await shakeHands()).serialNumber, shown.serialNumber);
});

step("an authority that knows nothing of the account any more gets another", async () => {
    root = await startAuthority();
    shown = await another(shown.serialNumber, root);
    assert.equal((await log("server")).match(/made an account/g).length, 2);
});

step("a restart shows the certificate of before, without the authority", async () => {
    await stop(authority);
    shown = await shakeHands();
    await stop(server);
    assert.equal(server.exitCode, 0);
    startServer();
    const again = await eventually("the server's start", () => shakeHands().catch(() => null));
    assert.equal(again.serialNumber, shown.serialNumber);
});
