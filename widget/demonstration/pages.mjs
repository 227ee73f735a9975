/** The pages. What matters on them is one script tag. */

function escape(text) {
    return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The one line a platform adds to its pages. */
function scriptTag(homeserver, person) {
    const source = `${homeserver.replace(/\/+$/, "")}/_vestibule/widget/loader.js`;
    return `<script src="${escape(source)}" data-credentials="/vestibule/credentials?person=${encodeURIComponent(person)}" defer></script>`;
}

function page({ title, language = "en", body, script = "" }) {
    const direction = /^(ar|he|fa|ur)\b/.test(language) ? "rtl" : "ltr";
    return `<!doctype html>
<html lang="${escape(language)}" dir="${direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)} · Riverside Health</title>
<link rel="stylesheet" href="/style.css">
${script}
</head>
<body>
${body}
</body>
</html>
`;
}

function top(person, role) {
    return `<header class="top">
<a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 3c7 5 11 9 11 15a11 11 0 0 1-22 0c0-6 4-10 11-15Z"/><path class="pulse" d="M8 18h4l2-4 4 8 2-4h4"/></svg>Riverside Health</a>
<p class="who"><span>${escape(person)}</span> ${escape(role)}</p>
</header>`;
}

export function indexPage(hosts, visit) {
    const link = (address, name, note) =>
        `<li><a class="card" href="${address}"><strong>${escape(name)}</strong><span>${escape(note)}</span></a></li>`;
    const links = [
        ...hosts.map(({ id, name, title }) => link(`/host?as=${id}`, name, title)),
        ...visit.invitees.map(({ id, name }) => link(`/waiting-room?as=${id}`, name, "Waiting room")),
    ];
    return page({
        title: "Demonstration",
        body: `${top("", "")}<main class="narrow">
<h1>Demonstration</h1>
<p>A small video-visit platform beside Vestibule. Open a host's page and the waiting room in two browser profiles, and chat.</p>
<ul class="links">${links.join("")}</ul>
</main>`,
    });
}

const TIMES = ["09:00", "09:30", "10:15", "11:00"];
const PLANNED = [
    { name: "Morgan Reyes", reason: "Follow-up", state: "Done" },
    null,
    { name: "Priya Nair", reason: "Prescription renewal", state: "Later" },
    { name: "Tom Whitfield", reason: "First visit", state: "Later" },
];

export function hostPage({ homeserver, host, visit, language }) {
    const own = host.id === visit.host.id;
    const rows = PLANNED.map((planned, at) => {
        const entry =
            planned ??
            (own
                ? { name: visit.invitees[0].name, reason: "Video visit", state: "In the waiting room" }
                : { name: "Noor Haddad", reason: "Blood pressure", state: "Next" });
        const next = planned === null;
        return `<tr${next ? ' class="next"' : ""}><td>${TIMES[at]}</td><td><strong>${escape(entry.name)}</strong><span>${escape(entry.reason)}</span></td><td><span class="tag">${escape(entry.state)}</span></td></tr>`;
    });
    return page({
        title: host.name,
        language,
        script: scriptTag(homeserver, host.id),
        body: `${top(host.name, host.title)}
<main class="wide">
<section class="card">
<h1>Today</h1>
<table><caption class="hidden">Visits of today</caption><thead class="hidden"><tr><th scope="col">Time</th><th scope="col">Patient</th><th scope="col">State</th></tr></thead><tbody>${rows.join("")}</tbody></table>
</section>
<aside>
<section class="card"><h2>Your room</h2><p>Camera and microphone are ready.</p><div class="video" role="img" aria-label="Camera preview, switched off"></div></section>
<section class="card"><h2>Before the visit</h2><ul class="list"><li>Chat with your patient with the icon at the bottom right.</li><li>Messages and files are deleted after 24 hours. What must be kept goes into the record.</li></ul></section>
</aside>
</main>`,
    });
}

export function waitingRoomPage({ homeserver, visit, invitee, language }) {
    return page({
        title: "Waiting room",
        language,
        script: scriptTag(homeserver, invitee.id),
        body: `${top(invitee.name, "Video visit")}
<main class="narrow">
<section class="card waiting">
<div class="rings" aria-hidden="true"><i></i><i></i><i></i></div>
<h1>You are in the waiting room</h1>
<p class="lead">${escape(visit.host.name)} will be with you shortly. You may keep this page open.</p>
<dl><div><dt>With</dt><dd>${escape(visit.host.name)}, ${escape(visit.host.title)}</dd></div><div><dt>Kind</dt><dd>Video visit</dd></div></dl>
</section>
<section class="card"><h2>While you wait</h2><ul class="list"><li>Sit where it is quiet and light.</li><li>Have your medication list at hand.</li><li>Write to your host with the icon at the bottom right.</li></ul></section>
</main>`,
    });
}
