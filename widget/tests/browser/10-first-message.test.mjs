/** The first message reaches somebody who has never opened the page, and both go on from there. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, launchChat, message, Person, write } from "./harness.mjs";

let browser, ada, host;
const stamp = Date.now().toString(36);

before(async () => {
    browser = await launchBrowser();
    ada = await Person.arrive(browser, "/host?as=ada");
    host = await ada.openWindow();
});
after(() => browser?.close());

test("a host finds a contact by part of the name and writes before the participant ever came", async () => {
    await launchChat(host, "cas", /Casey Jones/);
    await write(host, `Welcome ${stamp}`);
    await message(host, `Welcome ${stamp}`).and(host.locator('[data-delivery="sent"]')).waitFor();
    assert.match(await message(host, `Welcome ${stamp}`).getByTestId("deleted-in").innerText(), /deleted in 24 h/);
});

test("while nobody is there the window says so", async () => {
    await host.getByTestId("offline-notice").waitFor();
    assert.match(await host.getByTestId("offline-notice").innerText(), /still delivered/);
});

test("the participant opens the waiting room for the first time and reads it decrypted", async () => {
    const casey = await Person.arrive(browser, "/waiting-room");
    const guest = await casey.openWindow();
    assert.match(await guest.getByTestId("host-name").innerText(), /^Ada Byron/);
    await guest.getByTestId("chat-now").click();
    await message(guest, `Welcome ${stamp}`).waitFor();
    assert.equal(await guest.getByTestId("unreadable").count(), 0);
    assert.match(await message(guest, `Welcome ${stamp}`).getByTestId("sender").first().innerText(), /Ada Byron/);
    await message(host, `Welcome ${stamp}`).and(host.locator('[data-delivery="read"]')).waitFor();
    await host.getByTestId("offline-notice").waitFor({ state: "detached" });

    await guest.getByTestId("composer").pressSequentially("Thank");
    await host.getByText("Casey Jones is writing…").waitFor();
    await guest.getByTestId("composer").fill("");
    await guest.getByTestId("composer").pressSequentially(`Line one ${stamp}`);
    await guest.getByTestId("composer").press("Shift+Enter");
    await guest.getByTestId("composer").pressSequentially("line two");
    await guest.getByTestId("composer").press("Enter");
    const answer = message(host, `Line one ${stamp}\nline two`);
    await answer.waitFor();
    assert.equal(await answer.getByTestId("text").innerText(), `Line one ${stamp}\nline two`);
    await write(host, `Good ${stamp}`);
    await message(guest, `Good ${stamp}`).waitFor();
    await casey.leave();
});

test("a reload of the waiting room loses nothing", async () => {
    const casey = await Person.arrive(browser, "/waiting-room");
    let guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
    await message(guest, `Welcome ${stamp}`).waitFor();
    await casey.page.reload();
    guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
    for (const text of [`Welcome ${stamp}`, `Line one ${stamp}\nline two`, `Good ${stamp}`]) await message(guest, text).waitFor();
    assert.equal(await guest.getByTestId("unreadable").count(), 0);
    const kept = await casey.page
        .frames()[1]
        .evaluate(async () => ({
            databases: (await indexedDB.databases()).length,
            items: localStorage.length + sessionStorage.length,
        }));
    assert.deepEqual(kept, { databases: 0, items: 0 }, "a participant's browser keeps nothing");
    await casey.leave();
});

test("unread messages are counted, on the list and on the icon", async () => {
    const casey = await Person.arrive(browser, "/waiting-room");
    const guest = await casey.openWindow();
    await host.getByTestId("back").click();
    await guest.getByTestId("chat-now").click();
    await write(guest, `Are you there ${stamp}`);
    await host.getByTestId("unread").getByText("1 unread message").waitFor();
    await ada.icon().click();
    await ada.page.getByRole("button", { name: "Open chat, 1 unread message" }).click();
    await host.getByTestId("open-chat").first().click();
    await message(host, `Are you there ${stamp}`).waitFor();
    await host.getByTestId("back").click();
    await host.getByTestId("unread").waitFor({ state: "detached" });
    await host.getByTestId("last-chat").filter({ hasText: "Casey Jones" }).getByRole("button").click();
    await message(host, `Are you there ${stamp}`).waitFor();
    await casey.leave();
});

test("hosts of one organization make a group", async () => {
    await host.getByTestId("back").click();
    await host.getByTestId("contact").fill("ben");
    await host.getByRole("option", { name: /Ben Okafor/ }).waitFor();
    await host.getByTestId("contact").press("Enter");
    await host.getByTestId("chip").waitFor();
    await host.getByTestId("contact").fill("grace");
    await host.getByRole("option", { name: /Grace Lindqvist/ }).waitFor();
    await host.getByTestId("contact").press("Enter");
    await host.getByTestId("launch-user-chat").click();
    await write(host, `Team ${stamp}`);
    for (const person of ["ben", "grace"]) {
        const colleague = await Person.arrive(browser, `/host?as=${person}`);
        const frame = await colleague.openWindow();
        await frame.getByTestId("open-chat").filter({ hasText: "Ada Byron" }).first().click();
        await message(frame, `Team ${stamp}`).waitFor();
        await colleague.leave();
    }
});

test("a participant may write first; the host finds it at the next login", async () => {
    await ada.leave();
    const dana = await Person.arrive(browser, "/waiting-room?as=dana");
    const guest = await dana.openWindow();
    await guest.getByTestId("chat-now").click();
    await guest.getByTestId("offline-notice").waitFor();
    await write(guest, `I am early ${stamp}`);
    await message(guest, `I am early ${stamp}`).and(guest.locator('[data-delivery="sent"]')).waitFor();
    ada = await Person.arrive(browser, "/host?as=ada");
    host = await ada.openWindow();
    await host.getByTestId("open-chat").filter({ hasText: "Dana Fox" }).click();
    await message(host, `I am early ${stamp}`).waitFor();
    await write(host, `So am I ${stamp}`);
    await message(guest, `So am I ${stamp}`).waitFor();
    await dana.leave();
});
