/** What has expired leaves the open window at the exact time. A room may shorten its retention; here to some seconds. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, launchChat, message, Person, places, write } from "./harness.mjs";

const LIFETIME_MS = 15_000;
/** Rendering, and a machine with better things to do. */
const SLACK_MS = 2_500;
const stamp = Date.now().toString(36);
let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

test("a message is gone from both windows when its time is over, and stays gone", async () => {
    const ada = await Person.arrive(browser, "/host?as=ben");
    const request = ada.page.waitForRequest((request) => /\/sync\?/.test(request.url()) && request.headers()["authorization"]);
    const host = await ada.openWindow();
    const authorization = (await request).headers()["authorization"];
    await launchChat(host, "grace", /Grace Lindqvist/);
    const sending = ada.page.waitForRequest((request) => request.url().includes("/send/m.room.encrypted/"));
    await write(host, `Long ${stamp}`);
    const [, room_id] = /\/rooms\/([^/]+)\/send\//.exec((await sending).url());
    await message(host, `Long ${stamp}`).and(host.locator('[data-delivery="sent"]')).waitFor();
    const shortened = await fetch(`${places.homeserver}/_matrix/client/v3/rooms/${room_id}/state/m.room.retention/`, {
        method: "PUT",
        headers: { Authorization: authorization, "Content-Type": "application/json" },
        body: JSON.stringify({ max_lifetime: LIFETIME_MS }),
    });
    assert.equal(shortened.status, 200);

    const grace = await Person.arrive(browser, "/host?as=grace");
    const other = await grace.openWindow();
    await write(host, `Short ${stamp}`);
    await message(host, `Short ${stamp}`).and(host.locator('[data-delivery="sent"]')).waitFor();
    await other.getByTestId("open-chat").filter({ hasText: "Ben Okafor" }).first().click();
    await message(other, `Short ${stamp}`).waitFor();
    assert.match(await message(other, `Short ${stamp}`).getByTestId("deleted-in").innerText(), /deleted in \d+ s/);
    const sent_at = Date.parse(await message(host, `Short ${stamp}`).locator("time").getAttribute("datetime"));

    await Promise.all(
        [host, other].map(async (frame) => {
            await message(frame, `Short ${stamp}`).waitFor({ state: "detached" });
            const late_ms = Date.now() - (sent_at + LIFETIME_MS);
            assert.ok(late_ms > -SLACK_MS && late_ms < SLACK_MS, `it went ${late_ms} ms after its end`);
        }),
    );
    await grace.page.reload();
    const again = await grace.openWindow();
    await again.getByTestId("last-chat").filter({ hasText: "Ben Okafor" }).getByRole("button").click();
    await again.getByTestId("composer").waitFor();
    for (const text of ["Short", "Long"]) assert.equal(await message(again, `${text} ${stamp}`).count(), 0);
    await grace.leave();
    await ada.leave();
});
