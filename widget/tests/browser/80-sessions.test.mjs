/** A session from before anybody came to its end, by the server's own clock, which the test moves. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Device } from "../../../clients/harness.mjs";
import { launchBrowser, launchChat, message, Person, write } from "./harness.mjs";
import { obstacle, OwnServers } from "./own.mjs";

const HOUR_MS = 3_600_000;
/** From the platform's answer until every open page shows it. */
const LEARNS_MS = 1_000;
/** No shield, no reason for one: what Element shows nothing for. */
const CLEAN = { colour: 0, reason: null };
let servers, browser, other, ada, host, casey, guest;

before(async () => {
    if (obstacle) return;
    servers = await OwnServers.start();
    // Two people, two browsers.
    [browser, other] = await Promise.all([launchBrowser(), launchBrowser()]);
});
after(async () => {
    await Promise.all([browser?.close(), other?.close()]);
    await servers?.stop();
});

const arrive = (browser, path) => Person.arrive(browser, servers.demonstration + path);

/** Whether everybody's devices are their owner's own, so that there is nothing to warn of. */
function assertTrusted({ known, needs_approval, devices }, devices_min) {
    assert.deepEqual({ known, needs_approval }, { known: true, needs_approval: false });
    const unsigned = Object.entries(devices).filter(([, device]) => !device.signed_by_owner);
    assert.deepEqual(unsigned, []);
    assert.ok(Object.keys(devices).length >= devices_min, JSON.stringify(devices));
}

test("three hours after the host wrote, an invitee who never came reads it, and nobody is warned", { skip: obstacle }, async (t) => {
    // The host's Element, beside the page: signed by the host's identity, as Element is once the recovery key has been typed.
    const of_ada = await servers.credentials("ada");
    const element = await Device.enter(t, servers.homeserver, "js-sdk", of_ada);
    const { user_id: casey_id } = await servers.credentials("visit-1/casey");
    ada = await arrive(browser, "/host?as=ada");
    host = await ada.openWindow();
    await launchChat(host, "cas", /Casey Jones/);
    const sending = ada.page.waitForRequest((request) => request.url().includes("/send/m.room.encrypted/"));
    await write(host, "Welcome");
    const [, room] = /\/rooms\/([^/]+)\/send\//.exec((await sending).url());
    const room_id = decodeURIComponent(room);
    await message(host, "Welcome").and(host.locator('[data-delivery="sent"]')).waitFor();
    assertTrusted(await element.call("trust_of", { user_id: casey_id }), 1);

    await servers.clock.advance(3 * HOUR_MS);
    casey = await arrive(other, "/waiting-room");
    guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
    await message(guest, "Welcome").waitFor();
    assert.equal(await guest.getByTestId("unreadable").count(), 0);
    assert.match(await message(guest, "Welcome").getByTestId("deleted-in").innerText(), /deleted in 21 h/);
    await write(guest, "Here I am");
    await message(host, "Here I am").waitFor();
    assert.equal(await host.getByTestId("unreadable").count(), 0);

    // What the host's Element makes of it: of the reply, of the host's own page, of the invitee's devices, the one made before they came among them.
    for (const text of ["Welcome", "Here I am"]) {
        const { event_id } = await element.call("find_text", { room_id, text });
        assert.deepEqual(await element.call("shield_of", { room_id, event_id }), CLEAN, text);
    }
    const trust = await element.call("trust_of", { user_id: casey_id });
    assertTrusted(trust, 2);
    assert.equal(Object.values(trust.devices).filter(({ dehydrated }) => dehydrated).length, 1);
    // And the invitee's, who comes with another browser still.
    const second = await Device.enter(t, servers.homeserver, "js-sdk", await servers.credentials("visit-1/casey"));
    await second.call("rehydrate");
    assertTrusted(await second.call("trust_of", { user_id: of_ada.user_id }), 2);
    for (const [text, sender] of [["Welcome", of_ada.user_id], ["Here I am", casey_id]]) {
        const { event_id } = await second.call("find_text", { room_id, text });
        assert.deepEqual(await second.call("receive", { room_id, event_id }), { sender, body: text, decrypted: true });
        assert.deepEqual(await second.call("shield_of", { room_id, event_id }), CLEAN, text);
    }
});

test("moved to a later time, a session goes on past its old end", { skip: obstacle }, async () => {
    await servers.moveVisit({ in_ms: 12 * HOUR_MS });
    // The visit was of eight hours, three of which are over.
    await servers.clock.advance(6 * HOUR_MS);
    await write(guest, "Still here");
    await message(host, "Still here").waitFor();
    await write(host, "So am I");
    await message(guest, "So am I").waitFor();
});

test("moved to another host, the open page shows the new one, and the chat with the one before is over", { skip: obstacle }, async () => {
    await servers.moveVisit({ host: "ben", in_ms: 6 * HOUR_MS });
    const since = Date.now();
    await guest.getByTestId("host-name").getByText(/^Ben Okafor/).waitFor();
    await host.getByTestId("chat-ended").waitFor();
    assert.ok(Date.now() - since < LEARNS_MS, `after ${Date.now() - since} ms`);
    assert.equal(await host.getByTestId("composer").count(), 0);
    assert.equal(await message(host, "Still here").count(), 1, "what was said stays to be read, until it is deleted");
    await guest.getByTestId("chat-now").click();
    await write(guest, "Hello Ben");
    const ben = await arrive(browser, "/host?as=ben");
    const colleague = await ben.openWindow();
    await colleague.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await message(colleague, "Hello Ben").waitFor();
    await write(colleague, "Hello Casey");
    await message(guest, "Hello Casey").waitFor();
    await ben.leave();
});

test("when the session ends, every open page says so within a second, the host's among them, and nothing opens again", { skip: obstacle }, async () => {
    // The session is Ben's now, and his window with the participant is open.
    const ben = await arrive(browser, "/host?as=ben");
    const colleague = await ben.openWindow();
    await colleague.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await colleague.getByTestId("composer").waitFor();
    const dana = await arrive(other, "/waiting-room?as=dana");
    const invited = await dana.openWindow();
    await invited.getByTestId("chat-now").waitFor();
    const polls = [];
    for (const { page } of [casey, dana]) {
        page.on("response", (response) => /\/sync\?.*timeout=[1-9]/.test(response.url()) && polls.push(response.status()));
    }
    await servers.platform.endSession("visit-1");
    const since = Date.now();
    for (const frame of [guest, invited]) await frame.locator('[data-testid="before"][data-phase="over"]').waitFor();
    await colleague.getByTestId("session-ended").waitFor();
    assert.ok(Date.now() - since < LEARNS_MS, `after ${Date.now() - since} ms`);
    assert.equal(polls.filter((status) => status === 401).length, 2, `the open long polls: ${polls}`);
    assert.equal(await guest.getByTestId("message").count(), 0);
    // The host reads on, and is promised no delivery.
    assert.equal(await colleague.getByTestId("session-ended").innerText(), "The visit has ended. Casey Jones can't read new messages.");
    for (const gone of ["composer", "file-icon", "offline-notice"]) assert.equal(await colleague.getByTestId(gone).count(), 0, gone);
    assert.equal(await message(colleague, "Hello Casey").count(), 1);
    await ben.page.reload();
    const later = await ben.openWindow();
    await later.getByTestId("open-chat").filter({ hasText: "Casey Jones" }).click();
    await later.getByTestId("session-ended").waitFor();
    await message(later, "Hello Casey").waitFor();
    await ben.leave();
    await dana.leave();
    await casey.page.reload();
    await casey.page.locator("vestibule-chat").waitFor({ state: "attached" });
    const framed = casey.page.frames().find((frame) => frame.url().includes("frame.html"));
    await framed.locator('[data-testid="before"][data-phase="over"]').waitFor({ state: "attached" });
    assert.equal(await casey.icon().isVisible(), false);
    await casey.leave();
    await ada.leave();
});
