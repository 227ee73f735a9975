/** The programs of docs/platform/, as platform developers copy them: from an empty server to two pages with a working chat. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Homeserver } from "../../../clients/harness.mjs";
import { launchBrowser, launchChat, message, Person, startPlatform, write } from "./harness.mjs";

const programs = [
    ["bash", "provision.sh"],
    ["python3", "vestibule.py"],
];
const obstacle = !process.env.VESTIBULE_BIN && "VESTIBULE_BIN is not set";
let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

for (const [program, script] of programs) {
    test(`${script} makes a page with a working chat`, { skip: obstacle }, async (t) => {
        const homeserver = await Homeserver.start();
        t.after(() => homeserver.stop());
        await homeserver.platform();
        const path = fileURLToPath(new URL(`../../../docs/platform/${script}`, import.meta.url));
        const env = { ...process.env, VESTIBULE: homeserver.url, VESTIBULE_KEY: homeserver.platformKey };
        const { stdout } = await promisify(execFile)(program, [path], { env, cwd: homeserver.folder });
        const credentials = JSON.parse(stdout);
        const platform = await startPlatform(homeserver.url, (who) => credentials[who]);
        t.after(() => platform.close());
        const page = (who) => Person.arrive(browser, `http://127.0.0.1:${platform.address().port}/?who=${who}`);

        const [ada, pat] = [await page("host"), await page("invitee")];
        const host = await ada.openWindow();
        await launchChat(host, "pat", /Pat Doe/);
        await write(host, "Welcome");
        const guest = await pat.openWindow();
        assert.match(await guest.getByTestId("host-name").innerText(), /^Ada Byron/);
        await guest.getByTestId("chat-now").click();
        await message(guest, "Welcome").waitFor();
        await write(guest, "Thank you");
        await message(host, "Thank you").waitFor();
        assert.equal(await guest.getByTestId("unreadable").count(), 0);
        await pat.leave();
        await ada.leave();
    });
}
