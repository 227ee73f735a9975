/** Two tabs of a host, reloads, a lost network, an ended login. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, launchChat, message, Person, places, write } from "./harness.mjs";

const stamp = Date.now().toString(36);
let browser, casey, guest;

before(async () => {
    browser = await launchBrowser();
    casey = await Person.arrive(browser, "/waiting-room");
    guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
    await guest.getByTestId("composer").waitFor();
});
after(() => browser?.close());

/** The login of a page's widget, as its requests show it. */
async function loginOf(person) {
    const request = await person.page.waitForRequest(
        (request) => /\/sync\?/.test(request.url()) && request.headers()["authorization"],
    );
    return request.headers()["authorization"];
}

async function whoami(authorization) {
    const response = await fetch(`${places.homeserver}/_matrix/client/v3/account/whoami`, {
        headers: { Authorization: authorization },
    });
    return response.json();
}

test("a host's reload is the same device, and reads all of it", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    const first = await whoami(await loginOf(ada));
    let host = await ada.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `Before ${stamp}`);
    await message(guest, `Before ${stamp}`).waitFor();
    await ada.page.goto("about:blank");
    await write(guest, `Meanwhile ${stamp}`);
    await message(guest, `Meanwhile ${stamp}`).and(guest.locator('[data-delivery="sent"]')).waitFor();
    await ada.page.goto(`${places.demonstration}/host?as=ada`);
    const second = await whoami(await loginOf(ada));
    assert.deepEqual(second, first);
    host = await ada.openWindow();
    await host.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await message(host, `Before ${stamp}`).waitFor();
    await message(host, `Meanwhile ${stamp}`).waitFor();
    await ada.leave();
});

test("a host's second browser reads what the first one did", async () => {
    const first = await Person.arrive(browser, "/host?as=ada");
    const backedUp = first.page.waitForResponse(
        (response) => /\/room_keys\/keys/.test(response.url()) && response.request().method() === "PUT" && response.ok(),
    );
    const host = await first.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `Kept ${stamp}`);
    await message(guest, `Kept ${stamp}`).waitFor();
    await backedUp;
    await first.leave();
    const second = await Person.arrive(browser, "/host?as=ada");
    const elsewhere = await second.openWindow();
    await elsewhere.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await message(elsewhere, `Kept ${stamp}`).waitFor();
    await second.leave();
});

test("two tabs of a host take turns, and neither loses anything", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    const one = await ada.openWindow();
    await launchChat(one, "cas", /Casey Jones/);
    await ada.icon().click();

    const page = await ada.context.newPage();
    await page.goto(`${places.demonstration}/host?as=ada`);
    const other = new Person(ada.context, page);
    await other.icon().waitFor();
    await write(guest, `Ring ${stamp}`);
    await page.getByRole("button", { name: /Open chat, \d+ unread/ }).waitFor();

    const two = await other.openWindow();
    await two.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await message(two, `Ring ${stamp}`).waitFor();
    await write(two, `From the second tab ${stamp}`);
    await message(guest, `From the second tab ${stamp}`).waitFor();

    await ada.icon().click();
    await one.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await message(one, `From the second tab ${stamp}`).waitFor();
    await write(one, `From the first tab ${stamp}`);
    await message(guest, `From the first tab ${stamp}`).waitFor();
    await two.locator('[data-testid="before"][data-phase="elsewhere"]').waitFor();
    for (const text of ["Ring", "From the second tab", "From the first tab"]) await message(one, `${text} ${stamp}`).waitFor();
    await ada.leave();
});

test("a lost network shows, heals, and sends what was written meanwhile", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    const host = await ada.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `Still here ${stamp}`);
    await message(guest, `Still here ${stamp}`).waitFor();
    await casey.context.setOffline(true);
    await guest.getByText("Connection lost").waitFor();
    await write(guest, `Written in the dark ${stamp}`);
    await write(host, `Can you hear me ${stamp}`);
    await casey.context.setOffline(false);
    await message(guest, `Can you hear me ${stamp}`).waitFor();
    await message(host, `Written in the dark ${stamp}`).waitFor();
    await guest.getByText("Connection lost").waitFor({ state: "detached" });
    await ada.leave();
});

test("a message that could not be sent says so, and goes with one click", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    const host = await ada.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `First ${stamp}`);
    await message(guest, `First ${stamp}`).waitFor();
    await ada.page.route("**/send/m.room.encrypted/**", (route) => route.abort());
    await write(host, `Second ${stamp}`);
    const failed = message(host, `Second ${stamp}`).and(host.locator('[data-delivery="failed"]'));
    await failed.waitFor();
    await ada.page.unroute("**/send/m.room.encrypted/**");
    await failed.getByTestId("try-again").click();
    await message(guest, `Second ${stamp}`).waitFor();
    await message(host, `Second ${stamp}`).and(host.locator('[data-delivery="read"]')).waitFor();
    assert.equal(await message(host, `Second ${stamp}`).count(), 1);
    await ada.leave();
});

test("a message whose key is late says why, and appears when it comes", async () => {
    const late = await Person.arrive(browser, "about:blank");
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await late.page.route("**/dehydrated_device/*/events*", async (route) => {
        await held;
        await route.continue();
    });
    await late.page.goto(`${places.demonstration}/waiting-room`);
    const frame = await late.openWindow();
    await frame.getByTestId("chat-now").click();
    await frame.locator('[data-testid="unreadable"][data-reason="waiting"]').first().waitFor();
    assert.match(await frame.getByTestId("unreadable").first().innerText(), /has not arrived yet/);
    assert.equal(await message(frame, `First ${stamp}`).count(), 0);
    release();
    await message(frame, `First ${stamp}`).waitFor();
    await frame.getByTestId("unreadable").first().waitFor({ state: "detached" });
    await late.leave();
});

test("a login the server has ended is made anew", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    const started = () =>
        ada.page.waitForResponse(
            (response) => response.url().endsWith("/dehydrated_device") && response.request().method() === "PUT",
        );
    const [authorization] = await Promise.all([loginOf(ada), started()]);
    const before = await whoami(authorization);
    const host = await ada.openWindow();
    const startedAgain = started();
    const ended = await fetch(`${places.homeserver}/_matrix/client/v3/logout`, {
        method: "POST",
        headers: { Authorization: authorization },
    });
    assert.equal(ended.status, 200);
    const after = await whoami(await loginOf(ada));
    await startedAgain;
    assert.notEqual(after.device_id, before.device_id, "a device that was ended is not used again");
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `A new device ${stamp}`);
    await message(guest, `A new device ${stamp}`).waitFor();
    await ada.leave();
});

test("a browser that isn't logged in shows no icon", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    // the platform's own answer to somebody without its cookie
    await page.route("**/vestibule/credentials*", async (route) => {
        const answer = await fetch(route.request().url(), { method: "POST" });
        await route.fulfill({ status: answer.status, contentType: "application/json", body: await answer.text() });
    });
    const refused = page.waitForResponse((response) => response.url().includes("/vestibule/credentials"));
    await page.goto(`${places.demonstration}/waiting-room`);
    assert.equal((await refused).status(), 403);
    const framed = page.frames().find((frame) => frame.url().includes("frame.html"));
    await framed.locator('[data-testid="before"][data-phase="over"]').waitFor({ state: "attached" });
    assert.equal(await page.locator("vestibule-chat button").isVisible(), false);
    await context.close();
});
