/** Every state of the window: by axe, by keyboard alone, right to left, and on a telephone. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible } from "./accessible.mjs";
import { launchBrowser, launchChat, message, Person, write } from "./harness.mjs";

const stamp = Date.now().toString(36);
let browser;
before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

for (const colorScheme of ["light", "dark"]) {
    test(`axe finds nothing, ${colorScheme}`, async () => {
        const ada = await Person.arrive(browser, "/host?as=ada", { colorScheme, bypassCSP: true });
        const host = await ada.openWindow();
        await assertAccessible(ada, "host, list");
        await host.getByTestId("contact").fill("cas");
        await host.getByRole("option", { name: /Casey/ }).waitFor();
        await assertAccessible(ada, "host, contacts");
        await host.getByTestId("contact").press("Enter");
        await assertAccessible(ada, "host, contact chosen");
        await host.getByTestId("launch-user-chat").click();
        await write(host, `Hello ${colorScheme} ${stamp}, see https://example.org`);
        await host.locator('[data-testid="message"][data-delivery="sent"]').last().waitFor();
        await host.getByTestId("offline-notice").waitFor();
        await assertAccessible(ada, "host, chat with nobody there");
        await host.getByTestId("file-icon").click();
        await assertAccessible(ada, "host, drop area");
        await host
            .getByTestId("file-input")
            .setInputFiles({ name: "letter.pdf", mimeType: "application/pdf", buffer: Buffer.alloc(5_000, 1) });
        await host.getByTestId("file").last().waitFor();

        const casey = await Person.arrive(browser, "/waiting-room", { colorScheme, bypassCSP: true });
        const guest = await casey.openWindow();
        await assertAccessible(casey, "participant, list");
        await guest.getByRole("tab", { name: "Support" }).click();
        await assertAccessible(casey, "participant, support");
        await guest.getByRole("tab", { name: "Chats" }).click();
        await guest.getByTestId("chat-now").click();
        await guest.getByTestId("file").last().waitFor();
        await guest.getByTestId("composer").pressSequentially("I am wr");
        await host.getByTestId("typing").getByText("Casey Jones is writing…").waitFor();
        await assertAccessible(ada, "host, somebody writes");
        await assertAccessible(casey, "participant, chat");
        await casey.context.setOffline(true);
        await guest.getByText("Connection lost").waitFor();
        await guest.getByTestId("composer").press("Enter");
        await assertAccessible(casey, "participant, offline");
        await casey.leave();
        await ada.leave();
    });
}

test("everything goes by keyboard, and the focus is where one is", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    await ada.icon().waitFor();
    await ada.icon().focus();
    const { keyboard } = ada.page;
    await keyboard.press("Enter");
    const host = ada.frame();
    await host.getByTestId("contact").waitFor();
    const focused = (locator) => locator.and(host.locator(":focus")).waitFor();
    await focused(host.getByTestId("contact"));
    await keyboard.type("cas");
    await host.getByRole("option", { name: /Casey/ }).waitFor();
    assert.equal(await host.getByTestId("contact").getAttribute("aria-activedescendant"), "contact-0");
    await keyboard.press("Enter");
    await focused(host.getByTestId("contact"));
    await keyboard.press("Enter");
    await focused(host.getByTestId("composer"));
    await keyboard.type(`By keys ${stamp}`);
    await keyboard.press("Enter");
    await message(host, `By keys ${stamp}`).waitFor();
    await focused(host.getByTestId("composer"));
    await keyboard.press("Escape");
    await ada.page.waitForFunction(() => document.activeElement?.localName === "vestibule-chat");
    assert.equal(await ada.icon().getAttribute("aria-expanded"), "false");
    await keyboard.press("Enter");
    await focused(host.getByTestId("composer"));
    await host.getByTestId("back").press("Enter");
    await focused(host.getByTestId("contact"));
    await host.getByRole("tab", { name: "Chats" }).focus();
    await keyboard.press("ArrowRight");
    await focused(host.getByRole("tab", { name: "Support", selected: true }));
    await ada.leave();
});

test("a new message is announced once, with its sender", async () => {
    const ada = await Person.arrive(browser, "/host?as=ada");
    const host = await ada.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    const casey = await Person.arrive(browser, "/waiting-room");
    const guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
    await write(guest, `Knock ${stamp}`);
    await host.getByTestId("announcer").getByText(`Casey Jones: Knock ${stamp}`, { exact: true }).waitFor();
    await casey.leave();
    await ada.leave();
});

test("at 320 pixels the window is a full-screen sheet that can be closed", async () => {
    const casey = await Person.arrive(browser, "/waiting-room", { viewport: { width: 320, height: 560 } });
    const guest = await casey.openWindow();
    const box = await casey.page.locator("vestibule-chat iframe").boundingBox();
    assert.deepEqual(box, { x: 0, y: 0, width: 320, height: 560 });
    for (const open of [async () => {}, () => guest.getByTestId("chat-now").click()]) {
        await open();
        const wide = await guest.locator("html").evaluate((root) => root.scrollWidth);
        assert.ok(wide <= 320, `nothing sticks out (${wide} pixels)`);
    }
    await guest.getByRole("button", { name: "Close chat" }).click();
    await casey.icon().waitFor();
    await casey.leave();
});

test("right to left, and in the page's language", async () => {
    const casey = await Person.arrive(browser, "/waiting-room?lang=ar", { bypassCSP: true });
    const guest = await casey.openWindow();
    assert.deepEqual(await guest.locator("html").evaluate((root) => [root.lang, root.dir]), ["ar", "rtl"]);
    await guest.getByRole("button", { name: "تحدث الآن" }).click();
    await guest.getByTestId("composer").waitFor();
    const [back, close] = await Promise.all([
        guest.getByTestId("back").boundingBox(),
        guest.getByRole("button", { name: "إغلاق المحادثة" }).boundingBox(),
    ]);
    assert.ok(back.x > close.x, "the way back is on the right");
    await assertAccessible(casey, "Arabic chat");
    await casey.leave();
    for (const [language, words] of [
        ["es-MX", "Chatear ahora"],
        ["fr", "Discuter maintenant"],
    ]) {
        const person = await Person.arrive(browser, `/waiting-room?lang=${language}`);
        await (await person.openWindow()).getByRole("button", { name: words }).waitFor();
        await person.leave();
    }
});

test("the page's colours reach the window, and can be read there", async () => {
    const casey = await Person.arrive(browser, "/waiting-room", { bypassCSP: true });
    const guest = await casey.openWindow();
    await guest.getByTestId("chat-now").waitFor();
    const colour = () => guest.getByTestId("chat-now").evaluate((button) => getComputedStyle(button).backgroundColor);
    const before = await colour();
    await casey.page.evaluate(() => {
        document.documentElement.style.setProperty("--vestibule-accent", "#f5c400");
        document.documentElement.style.setProperty("--vestibule-accent-ink", "#ffffff");
        document.documentElement.style.setProperty("--vestibule-surface", "no colour at all");
    });
    await guest.locator("html[style*='--accent: #f5c400'], html[style*='--accent:#f5c400']").waitFor({ state: "attached" });
    assert.notEqual(before, await colour());
    assert.equal(await colour(), "rgb(245, 196, 0)");
    assert.equal(await casey.icon().evaluate((button) => getComputedStyle(button).backgroundColor), "rgb(245, 196, 0)");
    await assertAccessible(casey, "yellow accent");
    await casey.leave();
});
