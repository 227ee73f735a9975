/** The platform switches chat off while a chat is open: both sides see it within a second, and can still read. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { launchBrowser, launchChat, message, Person, places, write } from "./harness.mjs";

/** From the moment that the command has been answered until both windows show it. */
const LEARNS_MS = 1_000;
const stamp = Date.now().toString(36);
const bin = process.env.VESTIBULE_BIN;
let browser, ada, casey;

before(async () => (browser = await launchBrowser()));
after(async () => {
    if (bin) await chat("on");
    await browser?.close();
});

/** Ada's account, as an operator does it. */
function chat(state) {
    const config = join(dirname(places.data), "vestibule.toml");
    return promisify(execFile)(bin, ["account", "put", "riverside", "north", "--name", "North Clinic", "--chat", state, "--config", config]);
}

test("chat that is switched off stays to be read, on both sides, and support to be reached", { skip: !bin && "VESTIBULE_BIN is not set" }, async () => {
    ada = await Person.arrive(browser, "/host?as=ada");
    const host = await ada.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `Before ${stamp}`);
    casey = await Person.arrive(browser, "/waiting-room");
    const guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
    await message(guest, `Before ${stamp}`).waitFor();

    await chat("off");
    const since = Date.now();
    for (const frame of [host, guest]) await frame.getByTestId("chat-off").waitFor();
    assert.ok(Date.now() - since < LEARNS_MS, `after ${Date.now() - since} ms`);
    for (const frame of [host, guest]) {
        assert.equal(await frame.getByTestId("composer").count(), 0);
        assert.equal(await message(frame, `Before ${stamp}`).count(), 1);
        await frame.getByTestId("back").click();
        assert.equal(await frame.getByTestId("chat-now").count(), 0);
        await frame.locator("[data-testid=launch-support], [data-testid=leave-message]").first().waitFor();
    }

    await chat("on");
    for (const frame of [host, guest]) await frame.locator("#tab-chats").waitFor();
    await guest.locator("#tab-chats").click();
    await guest.getByTestId("chat-now").click();
    await write(guest, `After ${stamp}`);
    await message(guest, `After ${stamp}`).and(guest.locator('[data-delivery="sent"], [data-delivery="read"]')).waitFor();
});
