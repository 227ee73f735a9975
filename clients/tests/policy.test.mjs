/**
 * Who may do what to whom, as matrix-js-sdk is told: every pair of people × every action. People, actions and what is expected are
 * the engine's own table (engine/src/policy/matrix.txt).
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { sdk, silence } from "../drivers/js_sdk.mjs";
import { Homeserver, passwordLogin, within } from "../harness.mjs";

const { ClientEvent, RoomEvent } = sdk;
const logger = silence();

/** From the answer to the platform until both sides' clients have been told. */
const LEARNS_MS = 1_000;
const SESSION_MS = 3_600_000;
const CODES = { M_FORBIDDEN: "F", M_INVITE_BLOCKED: "B", M_NOT_FOUND: "N" };
const TO_DEVICE = "org.example.policy";

const table = { people: new Map(), actions: [], expected: new Map() };
const text = await readFile(new URL("../../engine/src/policy/matrix.txt", import.meta.url), "utf8");
for (const line of text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))) {
    const [kind, name, is, ...at] = line.split(/\s+/);
    if (kind === "person") table.people.set(name, { name, is, at });
    else if (kind === "action") table.actions.push(name);
    else {
        const [actor, target, outcomes] = line.split("|").map((cell) => cell.trim());
        table.expected.set(`${actor}, ${target}`, outcomes.split(/\s+/));
    }
}

/** What `target` is to `actor`, told from the descriptions alone. */
function relation(actor, target) {
    const inviter = ({ at }) => at[1];
    const organization = (person) => (person.is === "host" ? person : table.people.get(inviter(person))).at[0];
    const same = () => organization(actor) === organization(target);
    switch (`${actor.is}, ${target.is}`) {
        case "host, host":
            if (!same()) return "host, host elsewhere";
            return actor.at[1] === target.at[1] ? "host, host of the account" : "host, host of the organization";
        case "host, participant":
            if (inviter(target) === actor.name) return "host, own participant";
            return same() ? "host, colleague's participant" : "host, participant elsewhere";
        case "participant, host":
            return inviter(actor) === target.name ? "participant, inviter" : "participant, another host";
        case "participant, participant":
            if (actor.at[0] === target.at[0]) return "participant, co-participant";
            return inviter(actor) === inviter(target) ? "participant, inviter's other participant" : "participant, another's participant";
        default:
            return [actor, target].map(({ is }) => (is === "plain" ? "plain user" : is)).join(", ");
    }
}

let server, platform;
before(async () => {
    server = await Homeserver.start({ support: true, VESTIBULE_LIMITS__ENABLED: "false" });
    platform = await server.platform();
});
after(() => server.stop());

/** A client of somebody who logs in like this; without encryption, so that what the server answers is all there is. */
async function enter(how, accessToken) {
    const entering = sdk.createClient({ baseUrl: server.url, accessToken, logger });
    const { user_id, device_id, access_token } = await entering.loginRequest(how);
    return sdk.createClient({ baseUrl: server.url, userId: user_id, deviceId: device_id, accessToken: access_token, logger });
}

async function enterPage(user_id) {
    const { login_token } = await platform.createLoginToken(user_id);
    return enter({ type: "m.login.token", token: login_token });
}

/** Those whom the platform doesn't provision with keys upload some, as their clients do. */
async function uploadKeys(client) {
    const { deviceId, baseUrl } = client;
    const keeper = sdk.createClient({ baseUrl, userId: client.getUserId(), deviceId, accessToken: client.getAccessToken(), logger });
    await keeper.initRustCrypto({ useIndexedDB: false });
    await keeper.startClient();
    const known = async () => {
        // No event of the SDK tells that they are up.
        for (;;) {
            const { one_time_keys } = await client.claimOneTimeKeys([[client.getUserId(), deviceId]]);
            if (one_time_keys?.[client.getUserId()]?.[deviceId]) return;
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    };
    await within("upload of keys", known());
    keeper.stopClient();
}

/** Puts everybody of the table into the server; those with an account get a `client`, everybody a `user_id`. */
async function provision(people) {
    const of = (is) => people.filter((person) => person.is === is);
    const entered = async (person, client) => Object.assign(person, { client, user_id: client.getUserId() });
    for (const person of of("host")) {
        const [organization, account] = person.at;
        await platform.putOrganization(organization, organization);
        await platform.putAccount(organization, account, account);
        const { user_id } = await platform.putHost(person.name, { organization, account, display_name: person.name });
        await entered(person, await enterPage(user_id));
    }
    for (const session of new Set(of("participant").map(({ at }) => at[0]))) {
        const invited = of("participant").filter(({ at }) => at[0] === session);
        const invitees = invited.map(({ name }) => ({ id: name, display_name: name }));
        const made = await platform.putSession(session, { host: invited[0].at[1], invitees, ends_at: Date.now() + SESSION_MS });
        for (const { id, user_id } of made.invitees) await entered(invited.find(({ name }) => name === id), await enterPage(user_id));
    }
    for (const person of of("plain")) {
        const client = await enter(passwordLogin(await server.account(person.name)));
        await uploadKeys(client);
        await entered(person, client);
    }
    for (const person of of("support")) {
        const identifier = { type: "m.id.user", user: person.name };
        const client = await enter({ type: "m.login.application_service", identifier }, server.supportToken);
        await uploadKeys(client);
        await entered(person, client);
    }
    for (const person of of("nobody")) person.user_id = `@${person.name}:clients.test`;
}

/** What comes of a call: its code, and what exactly was told. */
async function outcome(call) {
    try {
        await call;
        return { code: "ok" };
    } catch (error) {
        const told = [error.httpStatus, error.errcode, error.data?.error];
        return { code: CODES[error.errcode] ?? String(error), told };
    }
}

/** `seen` if this was answered, `hidden` if there is nothing of the kind, else what came of it. */
async function sight(call) {
    const { code, told } = await outcome(call);
    return { code: { ok: "seen", N: "hidden" }[code] ?? code, told };
}

const shown = (is) => ({ code: is ? "seen" : "hidden" });

/** Both the list of devices and the keys of one of them, or neither. */
async function seeDevices({ client }, { user_id }) {
    const { device_keys } = await client.downloadKeysForUsers([user_id]);
    const devices = Object.keys(device_keys?.[user_id] ?? {});
    const asked = devices[0] ?? (await ownDevice(user_id)) ?? "NONE";
    const { one_time_keys } = await client.claimOneTimeKeys([[user_id, asked]]);
    const claimed = Object.keys(one_time_keys?.[user_id]?.[asked] ?? {}).length > 0;
    return claimed === devices.length > 0 ? shown(claimed) : { code: `${devices.length} devices, claimed: ${claimed}` };
}

/** A device that its owner sees: an attacker may have its name from elsewhere. */
async function ownDevice(user_id) {
    const owner = [...table.people.values()].find((person) => person.client && person.user_id === user_id);
    if (!owner) return undefined;
    const { device_keys } = await owner.client.downloadKeysForUsers([user_id]);
    return Object.keys(device_keys?.[user_id] ?? {})[0];
}

async function haveFile({ client }, { file }) {
    const url = client.mxcUrlToHttp(file, undefined, undefined, undefined, false, true, true);
    const { status } = await fetch(url, { headers: { authorization: `Bearer ${client.getAccessToken()}` } });
    return { code: { 200: "seen", 404: "hidden" }[status] ?? String(status) };
}

/** What is seen before anybody has a room. What was sent to devices is looked for when all of it has been. */
async function see(actor, target) {
    const { client } = actor;
    const { results } = await client.searchUserDirectory({ term: target.user_id, limit: 10 });
    await client.sendToDevice(TO_DEVICE, new Map([[target.user_id, new Map([["*", {}]])]]));
    return {
        profile: await sight(client.getProfileInfo(target.user_id)),
        devices: await seeDevices(actor, target),
        find: shown(results.some((found) => found.user_id === target.user_id)),
        file: target.file ? await haveFile(actor, target) : undefined,
    };
}

/** Whose messages the devices of this person have got. */
async function sendersTo({ client }) {
    const senders = new Set();
    client.on(ClientEvent.ToDeviceEvent, (event) => event.getType() === TO_DEVICE && senders.add(event.getSender()));
    const synced = new Promise((resolve) => client.once(ClientEvent.Sync, resolve));
    await client.startClient({ initialSyncLimit: 1 });
    await within("a sync", synced);
    client.stopClient();
    return senders;
}

/** A room with them; it is left at once, so that the next one finds nothing. */
async function make({ client }, { user_id }) {
    const made = client.createRoom({ invite: [user_id] });
    const told = await outcome(made);
    if (told.code === "ok") await client.leave((await made).room_id);
    return told;
}

/** Brings them into one's own room, and undoes it. */
async function bring({ client, room_id }, { user_id }, through) {
    const told = await outcome(through(client, room_id, user_id));
    if (told.code === "ok") await client.kick(room_id, user_id);
    return told;
}

const through = {
    invite: (client, room_id, user_id) => client.invite(room_id, user_id),
    state: (client, room_id, user_id) => client.sendStateEvent(room_id, "m.room.member", { membership: "invite" }, user_id),
};

async function everything(people) {
    const actors = people.filter(({ client }) => client);
    const pairs = actors.flatMap((actor) => people.filter((target) => target !== actor).map((target) => ({ actor, target, found: {} })));
    for (const actor of actors) {
        const { content_uri } = await actor.client.uploadContent(new Blob(["a file"]), { type: "text/plain", includeFilename: false });
        actor.file = content_uri;
    }
    for (const { actor, target, found } of pairs) Object.assign(found, await see(actor, target));
    for (const target of actors) target.senders = await sendersTo(target);
    for (const { actor, target, found } of pairs) found["to-device"] = shown(target.senders?.has(actor.user_id));
    for (const { actor, target, found } of pairs) found.make = await make(actor, target);

    const support = people.find(({ is }) => is === "support").user_id;
    for (const actor of actors) {
        const { room_id } = await actor.client.createRoom({ invite: actor.is === "participant" ? [support] : [] });
        actor.room_id = room_id;
    }
    for (const person of people) person.room_id ??= `!of-${person.name}:clients.test`;
    for (const { actor, target, found } of pairs) {
        found.knock = await outcome(actor.client.knockRoom(target.room_id));
        found.read = await outcome(actor.client.roomState(target.room_id));
        found.send = await outcome(actor.client.sendMessage(target.room_id, { msgtype: "m.text", body: "hello" }));
    }
    // Whoever gets in reads and writes from then on, so this comes after those.
    for (const { actor, target, found } of pairs) found.join = await outcome(actor.client.joinRoom(target.room_id));
    for (const { actor, target, found } of pairs) {
        for (const [action, way] of Object.entries(through)) found[action] = await bring(actor, target, way);
    }
    return pairs;
}

test("every pair and every action", async () => {
    const people = [...table.people.values()];
    await provision(people);
    const pairs = await everything(people);
    const met = new Set();
    const wrong = [];
    let checked = 0;
    for (const { actor, target, found } of pairs) {
        const between = relation(actor, target);
        met.add(between);
        const expected = table.expected.get(between);
        assert.ok(expected, `${between} is not in the table`);
        for (const [index, action] of table.actions.entries()) {
            if (found[action] === undefined) continue; // nobody has no file
            checked += 1;
            const { code } = found[action];
            if (code !== expected[index]) wrong.push(`${actor.name} to ${target.name} (${between}): ${action}: ${code} instead of ${expected[index]}`);
        }
        // Those of an organization are told of whom they may not know in the words in which they are told of nobody.
        const blocked = expected[table.actions.indexOf("make")] === "B";
        const hidden = expected[table.actions.indexOf("profile")] === "hidden";
        if (!hidden || blocked || !["host", "participant"].includes(actor.is)) continue;
        const of_nobody = pairs.find((pair) => pair.actor === actor && pair.target.is === "nobody").found;
        for (const action of table.actions) {
            const [told, of] = [found[action]?.told, of_nobody[action]?.told];
            if (JSON.stringify(told) !== JSON.stringify(of)) wrong.push(`${actor.name} to ${target.name}: ${action}: ${told}, of nobody: ${of}`);
        }
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual([...met].sort(), [...table.expected.keys()].sort(), "each line of the table is about somebody");
    assert.ok(checked > 2_000, `${checked} outcomes`);
});

/** Resolves with the moment at which this client is told that chat is on, or off. */
function told(client, enabled) {
    return new Promise((resolve) => {
        const look = (event) => {
            if (event.getType() !== "org.vestibule.chat" || event.getContent().enabled !== enabled) return;
            client.off(ClientEvent.AccountData, look);
            resolve(Date.now());
        };
        client.on(ClientEvent.AccountData, look);
    });
}

/** Resolves with the moment at which this client is told of a room that the other's session has ended. */
function toldOfEnd(client, room_id) {
    return new Promise((resolve) => {
        const look = (event, room) => {
            if (room.roomId !== room_id || event.getType() !== "org.vestibule.session" || event.getContent().ended !== true) return;
            client.off(RoomEvent.AccountData, look);
            resolve(Date.now());
        };
        client.on(RoomEvent.AccountData, look);
    });
}

test("a session that ends while a room is open: the host's client is told within a second, and refused in a sentence", async (t) => {
    await platform.putOrganization("ended", "Ended");
    await platform.putAccount("ended", "west", "West Clinic");
    const { user_id } = await platform.putHost("una", { organization: "ended", account: "west", display_name: "Una" });
    const invitees = ["otis", "odo"].map((id) => ({ id, display_name: id }));
    const session = await platform.putSession("ended-1", { host: "una", invitees, ends_at: Date.now() + SESSION_MS });
    const [otis, odo] = session.invitees;
    const host = await enterPage(user_id);
    const guest = await enterPage(otis.user_id);
    const { room_id } = await guest.createRoom({ invite: [user_id] });
    await host.joinRoom(room_id);
    const { event_id } = await host.sendMessage(room_id, { msgtype: "m.text", body: "before" });
    t.after(() => host.stopClient());
    const synced = new Promise((resolve) => host.once(ClientEvent.Sync, resolve));
    await host.startClient({ initialSyncLimit: 5 });
    await within("a sync", synced);

    const learnt = toldOfEnd(host, room_id);
    await platform.endSession("ended-1");
    const since = Date.now();
    const at = await within("the end", learnt);
    assert.ok(at - since < LEARNS_MS, `after ${at - since} ms`);
    const sentence = "This session has ended: they can't read it any more.";
    const refused = { code: "F", told: [403, "M_FORBIDDEN", sentence] };
    assert.deepEqual(await outcome(host.sendMessage(room_id, { msgtype: "m.text", body: "x" })), refused);
    assert.deepEqual(await outcome(host.sendTyping(room_id, true, 5_000)), refused);
    assert.deepEqual(await outcome(host.invite(room_id, "@support:clients.test")), refused);
    assert.deepEqual(await outcome(host.createRoom({ invite: [odo.user_id] })), refused);
    assert.equal((await host.fetchRoomEvent(room_id, event_id)).content.body, "before", "it stays to be read");
    const { room_id: with_support } = await host.createRoom({ invite: ["@support:clients.test"] });
    assert.deepEqual(await outcome(host.sendMessage(with_support, { msgtype: "m.text", body: "help" })), { code: "ok" });
});

test("chat that is switched off while a room is open: clients are told within a second, and refused in a sentence", async (t) => {
    await platform.putOrganization("quiet", "Quiet");
    const chat = (enabled) => platform.putAccount("quiet", "west", "West Clinic", { chat_enabled: enabled });
    await chat(true);
    const { user_id } = await platform.putHost("ora", { organization: "quiet", account: "west", display_name: "Ora" });
    const invitees = [{ id: "otto", display_name: "Otto" }];
    const session = await platform.putSession("quiet-1", { host: "ora", invitees, ends_at: Date.now() + SESSION_MS });
    const host = await enterPage(user_id);
    const guest = await enterPage(session.invitees[0].user_id);
    const { room_id } = await guest.createRoom({ invite: [user_id] });
    await host.joinRoom(room_id);
    const { event_id } = await host.sendMessage(room_id, { msgtype: "m.text", body: "before" });
    for (const client of [host, guest]) {
        t.after(() => client.stopClient());
        const on = told(client, true);
        await client.startClient({ initialSyncLimit: 5 });
        await within("the state at the start", on);
    }
    for (const enabled of [false, true]) {
        const learnt = [host, guest].map((client) => told(client, enabled));
        await chat(enabled);
        const since = Date.now();
        for (const at of await within("the change", Promise.all(learnt))) assert.ok(at - since < LEARNS_MS, `after ${at - since} ms`);
        for (const client of [host, guest]) {
            const sent = await outcome(client.sendMessage(room_id, { msgtype: "m.text", body: "x" }));
            const sentence = "Chat is switched off for this account. Support can still be reached.";
            assert.deepEqual(sent, enabled ? { code: "ok" } : { code: "F", told: [403, "M_FORBIDDEN", sentence] });
            assert.equal((await client.fetchRoomEvent(room_id, event_id)).content.body, "before", "it stays to be read");
            const { room_id: with_support } = await client.createRoom({ invite: ["@support:clients.test"] });
            await client.sendMessage(with_support, { msgtype: "m.text", body: "help" });
            await client.leave(with_support);
        }
    }
});
