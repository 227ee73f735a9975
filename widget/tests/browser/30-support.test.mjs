/** Support: the chat and the form of the widget on one side, the agents' desk page on the other. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible } from "./accessible.mjs";
import { launchBrowser, message, Person, places, WAIT_MS, write } from "./harness.mjs";

const stamp = Date.now().toString(36);
const skip = places.desk ? false : "DESK_URL is not set";
let browser, desk;

before(async () => {
    if (skip) return;
    browser = await launchBrowser();
    const context = await browser.newContext();
    context.setDefaultTimeout(WAIT_MS);
    desk = await context.newPage();
    await desk.goto(places.desk);
    await desk.getByTestId("agent-name").fill("Robin");
    await desk.getByTestId("password").fill(process.env.DESK_PASSWORD ?? "");
    await desk.getByTestId("sign-in-button").click();
    await desk.getByTestId("duty").waitFor();
});
after(() => browser?.close());

async function setDuty(on) {
    const duty = desk.getByTestId("duty");
    if ((await duty.getAttribute("aria-checked")) !== String(on)) await duty.click();
    await desk.locator(`[data-testid="duty"][aria-checked="${on}"]`).waitFor();
}

async function openTicket(text) {
    await desk.getByTestId("queue-item").filter({ hasText: text }).click();
    await desk.getByTestId("message").filter({ hasText: text }).waitFor();
}

async function answer(text) {
    await desk.getByTestId("reply").fill(text);
    await desk.getByTestId("send").click();
}

async function openSupport(person) {
    const frame = await person.openWindow();
    await frame.getByRole("tab", { name: "Support" }).click();
    return frame;
}

test("an agent is there: a chat opens, the question is on the desk, the answer in the chat", { skip }, async () => {
    await setDuty(true);
    const casey = await Person.arrive(browser, "/waiting-room", { bypassCSP: true });
    const guest = await openSupport(casey);
    await guest.getByTestId("support-state").getByText("An agent is available now.").waitFor();
    assert.match(await guest.getByTestId("support-reads").innerText(), /staff can read/);
    await guest.getByTestId("launch-support").click();
    await write(guest, `My camera stays dark ${stamp}`);
    await openTicket(`My camera stays dark ${stamp}`);
    await answer(`Which browser do you use ${stamp}?`);
    const reply = message(guest, `Which browser do you use ${stamp}?`);
    await reply.waitFor();
    assert.equal(await reply.getByTestId("sender").first().innerText(), "Robin");
    await assertAccessible(casey, "support chat");
    await write(guest, `The one with the fox ${stamp}`);
    await desk
        .getByTestId("message")
        .filter({ hasText: `The one with the fox ${stamp}` })
        .waitFor();

    await desk.getByTestId("close").click();
    await guest.getByTestId("support-ended").waitFor();
    assert.equal(await guest.getByTestId("composer").count(), 0);
    await assertAccessible(casey, "support chat, closed");
    await casey.leave();
});

test("nobody is there: a message is left, and its answer comes", { skip }, async () => {
    await setDuty(false);
    const ada = await Person.arrive(browser, "/host?as=ada", { bypassCSP: true });
    const host = await openSupport(ada);
    const form = host.getByTestId("leave-message");
    await form.waitFor();
    await assertAccessible(ada, "leave a message");
    await form.getByRole("textbox", { name: "Your message" }).fill(`Please call me ${stamp}`);
    await form.getByRole("button", { name: "Send message" }).click();
    await host.getByText("Your message has reached support.").waitFor();
    await openTicket(`Please call me ${stamp}`);
    await setDuty(true);
    await answer(`We will ${stamp}`);
    await host
        .getByRole("tab", { name: /^Support/ })
        .getByText("1")
        .waitFor();
    await host.getByTestId("launch-support").click();
    await message(host, `Please call me ${stamp}`).waitFor();
    await message(host, `We will ${stamp}`).waitFor();
    await ada.leave();
});
