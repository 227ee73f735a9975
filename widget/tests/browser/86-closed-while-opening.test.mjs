/**
 * A page closed at any moment of its first opening loses nothing (B2): what was sent before the user ever came is read at the next
 * opening, in the same browser or another, and nobody is warned of anybody.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Device, Homeserver } from "../../../clients/harness.mjs";
import { launchBrowser, launchChat, message, Person, startPlatform, write } from "./harness.mjs";
import { crash, momentsOf, reach, record } from "./moments.mjs";

const obstacle = !process.env.VESTIBULE_BIN && "VESTIBULE_BIN is not set";
/** Pages at a time. */
const AT_ONCE = 3;
/** No shield, no reason for one: what Element shows nothing for. */
const CLEAN = { colour: 0, reason: null };
const TEXT = "Before you came";
const FILE = "plan.txt";
const BYTES = Buffer.from("Take a seat.");
const HOUR_MS = 3_600_000;
const people = new Map();
const endings = [];
let browser, homeserver, platform, pages, element;

before(async () => {
    if (obstacle) return;
    homeserver = await Homeserver.start({ VESTIBULE_LIMITS__ENABLED: "false" });
    endings.push(() => homeserver.stop());
    platform = await homeserver.platform();
    await platform.putOrganization("riverside", "Riverside Health");
    await platform.putAccount("riverside", "north", "North Clinic");
    await putHosts([{ id: "ada", name: "Ada Byron" }]);
    browser = await launchBrowser();
    endings.push(() => browser.close());
    pages = await startPlatform(homeserver.url, credentialsOf);
    endings.push(() => pages.close());
    // The host's Element, signed by the host's identity.
    element = await Device.enter({ after: (end) => endings.push(end) }, homeserver, "js-sdk", await credentialsOf("ada"));
});
after(async () => {
    for (const end of endings.reverse()) await end();
});

async function credentialsOf(who) {
    const { user_id, recovery_key } = people.get(who);
    return { user_id, recovery_key, ...(await platform.createLoginToken(user_id)) };
}

async function putHosts(hosts) {
    for (const { id, name } of hosts) {
        people.set(id, await platform.putHost(id, { organization: "riverside", account: "north", display_name: name }));
    }
}

async function putInvitees(session, invitees) {
    const given = invitees.map(({ id, name }) => ({ id, display_name: name }));
    const made = await platform.putSession(session, { host: "ada", invitees: given, ends_at: Date.now() + HOUR_MS });
    for (const invitee of made.invitees) people.set(invitee.id, invitee);
}

const address = (who) => `http://127.0.0.1:${pages.address().port}/?who=${who}`;

/** Who may be written to before they ever came, whether their browser keeps anything, and how they find the chat. */
const KINDS = [
    {
        kind: "an invitee",
        id: "guest",
        isStored: false,
        put: putInvitees,
        enter: (frame) => frame.getByTestId("chat-now").click(),
    },
    {
        kind: "a host's colleague",
        id: "colleague",
        isStored: true,
        put: (_, hosts) => putHosts(hosts),
        enter: (frame) => frame.getByTestId("open-chat").filter({ hasText: "Ada Byron" }).click(),
    },
];

/** Opens the chat as a person does, until the message and the file are there and one can answer. */
async function openChat(person, enter) {
    const frame = await person.openWindow();
    await enter(frame);
    await message(frame, TEXT).waitFor();
    await frame.getByTestId("file").filter({ hasText: FILE }).waitFor();
    await frame.getByTestId("composer").waitFor();
    return frame;
}

async function reply(frame) {
    await write(frame, "Here I am");
    await message(frame, "Here I am").and(frame.locator('[data-delivery="sent"], [data-delivery="read"]')).waitFor();
    assert.equal(await frame.getByTestId("unreadable").count(), 0);
}

/** The host writes, and sends a file, to somebody who never came. */
async function welcome(who) {
    const { room_id } = await element.call("create_room", { invite: [people.get(who).user_id] });
    await element.call("see", { room_id, user_ids: [element.user_id] });
    await element.call("send_text", { room_id, text: TEXT });
    await element.call("send_file", { room_id, name: FILE, data: BYTES.toString("base64") });
    return room_id;
}

/** Runs a task for each item, some at a time. */
async function forEach(items, task) {
    const waiting = [...items];
    const work = async () => {
        for (let item = waiting.shift(); item; item = waiting.shift()) await task(item);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/**
 * Whether everybody's devices are their owner's own, so that there is nothing to warn of. But for the closed page's: it may have ended
 * before its owner's key had signed it, and says nothing any more.
 */
function assertTrusted({ known, needs_approval, devices }, closed) {
    assert.deepEqual({ known, needs_approval }, { known: true, needs_approval: false });
    const unsigned = Object.entries(devices).filter(([device_id, device]) => !device.signed_by_owner && device_id !== closed);
    assert.deepEqual(unsigned, []);
}

/** What an opening to its end asks of the homeserver, of somebody to whom a host's page has written. */
async function recordOpening({ id, put, enter }) {
    const name = `First ${id}`;
    await put("recorded", [{ id: `first-${id}`, name }]);
    const ada = await Person.arrive(browser, address("ada"));
    const host = await ada.openWindow();
    await launchChat(host, name, new RegExp(name));
    await write(host, TEXT);
    await host.getByTestId("file-icon").click();
    await host.getByTestId("file-input").setInputFiles({ name: FILE, mimeType: "text/plain", buffer: BYTES });
    await host.locator('[data-testid="message"][data-delivery="sent"]', { has: host.getByTestId("file") }).waitFor();
    const person = await Person.arrive(browser, "about:blank");
    const names = record(person.page);
    await person.page.goto(address(`first-${id}`));
    const frame = await openChat(person, enter);
    const asked = [...names];
    await reply(frame);
    await message(host, "Here I am").waitFor();
    assert.equal(await host.getByTestId("unreadable").count(), 0);
    await person.leave();
    await ada.leave();
    return asked;
}

/** The first opening, ended at its moment; then the second one, to its end. */
async function openTwice(newcomer, enter) {
    let person = await Person.arrive(browser, "about:blank");
    person.page.on("response", async (response) => {
        if (response.url().endsWith("/login")) newcomer.closed = (await response.json().catch(() => ({}))).device_id;
    });
    const { reached } = await reach(person.page, newcomer);
    await person.page.goto(address(newcomer.id));
    const opened = openChat(person, enter).then(() => false).catch(() => reached);
    newcomer.reached = await Promise.race([reached, opened]);
    await crash(person.page);
    if (newcomer.kept) {
        person = new Person(person.context, await person.context.newPage());
        await person.page.goto(address(newcomer.id));
    } else {
        await person.leave();
        person = await Person.arrive(browser, address(newcomer.id));
    }
    await reply(await openChat(person, enter));
    await person.leave();
}

/** What Element makes of it, the host's and then the newcomer's. */
async function judge(later, { id, room_id, closed }, isStored) {
    const { user_id } = people.get(id);
    assertTrusted(await element.call("trust_of", { user_id }), closed);
    Object.assign(later, await later.call("login_with_token", { homeserver: homeserver.url, ...(await credentialsOf(id)) }));
    await later.call("rehydrate");
    assertTrusted(await later.call("trust_of", { user_id: element.user_id }));
    // A host's own words are in their key backup, whose shield is another; what was sent before is where it was.
    const seen = [[element, TEXT], [element, "Here I am"], [later, TEXT], ...(isStored ? [] : [[later, "Here I am"]])];
    for (const [device, text] of seen) {
        const { event_id } = await device.call("find_text", { room_id, text });
        assert.deepEqual(await device.call("shield_of", { room_id, event_id }), CLEAN, text);
    }
    const { event_id } = await later.call("find_text", { room_id, text: FILE });
    assert.equal((await later.call("receive", { room_id, event_id })).data, BYTES.toString("base64"));
}

for (const { kind, id, isStored, put, enter } of KINDS) {
    test(`${kind}'s page, closed at any moment of its first opening, loses nothing`, { skip: obstacle }, async (t) => {
        const asked = await recordOpening({ id, put, enter });
        const newcomers = momentsOf(asked, isStored).map((moment, index) => ({
            ...moment,
            id: `${id}-${index}`,
            // An answer that never came is nowhere in the browser either; one that did may be.
            kept: moment.at === "answered",
        }));
        await put("swept", newcomers.map(({ id }) => ({ id, name: `Newcomer ${id}` })));
        const failed = [];
        const attempt = (newcomer, task) =>
            task().catch((error) => {
                newcomer.lost = true;
                const browser = newcomer.kept ? "the same browser" : "another browser";
                failed.push(`${newcomer.name} (${newcomer.nth}) ${newcomer.at}, then ${browser}: ${error}`);
            });
        for (const newcomer of newcomers) newcomer.room_id = await welcome(newcomer.id);
        await forEach(newcomers, (newcomer) => attempt(newcomer, () => openTwice(newcomer, enter)));
        const later = await Device.enter(t, homeserver, "js-sdk", await credentialsOf(`first-${id}`));
        for (const newcomer of newcomers.filter(({ lost }) => !lost)) await attempt(newcomer, () => judge(later, newcomer, isStored));
        assert.deepEqual(failed, []);
        const missed = newcomers.filter(({ reached }) => !reached);
        t.diagnostic(`${asked.length} requests, ${newcomers.length} moments, of which ${missed.length} did not come again`);
        assert.ok(missed.length < newcomers.length / 4, JSON.stringify(missed));
    });
}
