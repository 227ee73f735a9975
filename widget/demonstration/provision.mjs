/** The demonstration's people, put into Vestibule. Running it again changes nothing. */

const ORGANIZATION = { id: "riverside", name: "Riverside Health" };
const ACCOUNTS = [
    { id: "north", name: "North Clinic" },
    { id: "south", name: "South Clinic" },
];
const HOSTS = [
    { id: "ada", name: "Ada Byron", title: "Family medicine", account: "north" },
    { id: "ben", name: "Ben Okafor", title: "Cardiology", account: "south" },
    { id: "grace", name: "Grace Lindqvist", title: "Nursing", account: "north" },
];
const INVITEES = [
    { id: "casey", name: "Casey Jones" },
    { id: "dana", name: "Dana Fox" },
];

const VISIT_MS = 8 * 3_600_000;
/** A visit about to end is followed by a new one, so that the demonstration always has one to show. */
const VISIT_MS_MIN = 3_600_000;

/** Makes everybody, and answers what the pages show and the credentials endpoint hands out. */
export async function provision(platform, state) {
    await platform.untilUp();
    await platform.putOrganization(ORGANIZATION.id, ORGANIZATION.name);
    for (const { id, name } of ACCOUNTS) await platform.putAccount(ORGANIZATION.id, id, name);
    const people = new Map();
    for (const { id, name, account } of HOSTS) {
        const made = await platform.putHost(id, { organization: ORGANIZATION.id, account, display_name: name });
        people.set(id, await state.keep(id, made));
    }
    for (const [id, user] of await putVisit(platform, state)) people.set(id, user);
    return { hosts: HOSTS, people, visit: { host: HOSTS[0], invitees: INVITEES } };
}

async function putVisit(platform, state) {
    const now = Date.now();
    if (!state.visit || state.visit.ends_at < now + VISIT_MS_MIN) {
        state.visit = { number: (state.visit?.number ?? 0) + 1, ends_at: now + VISIT_MS };
        await state.save();
    }
    const { number, ends_at } = state.visit;
    const session = `visit-${number}`;
    const invitees = INVITEES.map(({ id, name }) => ({ id, display_name: name }));
    const made = await platform.putSession(session, { host: HOSTS[0].id, invitees, ends_at });
    const users = new Map();
    for (const invitee of made.invitees) users.set(invitee.id, await state.keep(`${session}/${invitee.id}`, invitee));
    return users;
}
