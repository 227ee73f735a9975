/** For tests that move the clock or end sessions: a homeserver and a demonstration platform of their own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, Homeserver, within } from "../../../clients/harness.mjs";

/** Why these tests can't run here; false if they can. */
export const obstacle =
    (!process.env.VESTIBULE_BIN && "VESTIBULE_BIN is not set") || (process.platform !== "linux" && "the server's clock is moved by LD_PRELOAD");

export class OwnServers {
    static async start() {
        const servers = new OwnServers();
        const { homeserver } = Object.assign(servers, { homeserver: await Homeserver.start({ moved: true }) });
        servers.platform = await homeserver.platform();
        servers.statePath = join(homeserver.folder, "demonstration.json");
        const key = join(homeserver.folder, "platform.key");
        await writeFile(key, homeserver.platformKey, { mode: 0o600 });
        const port = await freePort();
        servers.demonstration = `http://127.0.0.1:${port}`;
        const script = fileURLToPath(new URL("../../demonstration/server.mjs", import.meta.url));
        const given = ["--homeserver", homeserver.url, "--key-file", key, "--state", servers.statePath, "--listen", `127.0.0.1:${port}`];
        servers.process = spawn(process.execPath, [script, ...given], { stdio: ["ignore", "pipe", "inherit"] });
        await within("the demonstration", once(servers.process.stdout, "data")); // it says when it is ready
        return servers;
    }

    get clock() {
        return this.homeserver.clock;
    }

    /** What the demonstration has for somebody's page: `ada`, or `visit-1/casey`. */
    async credentials(person) {
        const { users } = JSON.parse(await readFile(this.statePath, "utf8"));
        const { user_id, recovery_key } = users[person];
        const { login_token } = await this.platform.createLoginToken(user_id);
        return { user_id, recovery_key, login_token };
    }

    /** Moves the demonstration's visit to another host, or to end in so many milliseconds. */
    moveVisit({ host = "ada", in_ms }) {
        const invitees = [
            { id: "casey", display_name: "Casey Jones" },
            { id: "dana", display_name: "Dana Fox" },
        ];
        return this.platform.putSession("visit-1", { host, invitees, ends_at: this.clock.now() + in_ms });
    }

    async stop() {
        this.process.kill("SIGTERM");
        await once(this.process, "exit");
        await this.homeserver.stop();
    }
}
