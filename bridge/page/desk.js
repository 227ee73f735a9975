// The agents' page. State is what the server says; every change fetches it again, and only differences are drawn.

const $ = (id) => document.getElementById(id);
const state = { agent: null, tickets: [], openId: null, ticket: null, drafts: new Map(), sending: [], source: null };

class SignedOut extends Error {}

async function call(method, path, body) {
  const response = await fetch(`api/${path}`, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 401 && path !== "session") throw new SignedOut();
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) throw Object.assign(new Error(answer?.detail ?? "Something went wrong."), { status: response.status });
  return answer;
}

/** Runs a step; a lost session leads to the sign-in form, anything else to `complain`. */
async function attempt(step, complain = (text) => { $("connection").textContent = text; }) {
  try {
    await step();
    return true;
  } catch (error) {
    if (error instanceof SignedOut || error.status === 401) showSignIn();
    else complain(error.status ? error.message : "No connection. Trying again…");
    return false;
  }
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const nameOf = (ticket) => ticket.contact ?? `Visitor ${ticket.id}`;

function left(expiresMs) {
  const minutes = Math.max(0, Math.round((expiresMs - Date.now()) / 60000));
  return minutes >= 60 ? `deleted in ${Math.round(minutes / 60)} h` : `deleted in ${minutes} min`;
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// --- signing in and out

function showSignIn() {
  state.source?.close();
  Object.assign(state, { agent: null, source: null, openId: null, ticket: null, tickets: [], sending: [] });
  $("messages").replaceChildren();
  $("queue").replaceChildren();
  $("desk").hidden = true;
  $("sign-in").hidden = false;
  $("agent-name").focus();
}

async function showDesk() {
  state.agent = await call("GET", "session");
  $("sign-in").hidden = true;
  $("desk").hidden = false;
  $("agent").textContent = state.agent.name;
  $("lifetime").textContent = `Everything here is deleted after ${Math.round(state.agent.lifetime_ms / 3600000)} hours.`;
  drawDuty();
  await refresh();
  watch();
}

function watch() {
  state.source?.close();
  const source = new EventSource("api/events");
  state.source = source;
  source.addEventListener("open", () => { $("connection").textContent = ""; void attempt(refresh); });
  source.addEventListener("change", () => void attempt(refresh));
  source.addEventListener("error", () => {
    $("connection").textContent = "No connection. Trying again…";
    // A closed stream is not opened again by the browser: the session may be over.
    if (source.readyState === EventSource.CLOSED && state.source === source) {
      setTimeout(() => { if (state.source === source) void attempt(async () => { await refresh(); watch(); }).then((ok) => { if (!ok && state.source === source) watch(); }); }, 2000);
    }
  });
}

$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("sign-in-error").textContent = "";
  const complain = (text) => { $("sign-in-error").textContent = text; };
  void attempt(async () => {
    await call("POST", "session", { name: $("agent-name").value, password: $("password").value });
    $("password").value = "";
    await showDesk();
  }, complain);
});

$("sign-out").addEventListener("click", () => void attempt(async () => { await call("DELETE", "session"); showSignIn(); }));

function drawDuty() {
  $("duty").setAttribute("aria-checked", String(state.agent.on_duty));
  $("duty-text").textContent = state.agent.on_duty ? "On duty" : "Off duty";
}

$("duty").addEventListener("click", () => void attempt(async () => {
  await call("PUT", "duty", { on_duty: !state.agent.on_duty });
  state.agent.on_duty = !state.agent.on_duty;
  drawDuty();
}));

// --- the queue

let refreshing = false;
let again = false;

/** Fetches what is shown; calls during a fetch make one more. */
async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  try {
    do {
      again = false;
      state.tickets = await call("GET", "tickets");
      drawQueue();
      if (state.openId !== null) await refreshChat();
    } while (again);
    $("connection").textContent = "";
  } finally {
    refreshing = false;
  }
}

function whatOf(ticket) {
  if (ticket.closed) return "ended";
  if (!ticket.agent) return ticket.left_message ? "left a message" : "is waiting";
  return ticket.waiting ? `wrote again · ${ticket.agent}` : `answered · ${ticket.agent}`;
}

function drawQueue() {
  const list = $("queue");
  const known = new Map([...list.children].map((item) => [Number(item.dataset.id), item]));
  const items = state.tickets.map((ticket) => {
    const item = known.get(ticket.id) ?? newItem(ticket.id);
    const button = item.firstChild;
    const [who, when, preview, badge, what] = button.children;
    who.textContent = nameOf(ticket);
    when.textContent = clock.format(ticket.changed_ms);
    preview.textContent = ticket.preview ?? "";
    what.textContent = whatOf(ticket);
    what.classList.toggle("waiting", ticket.waiting && !ticket.closed);
    badge.hidden = ticket.closed || ticket.unseen === 0;
    badge.textContent = ticket.unseen;
    badge.setAttribute("aria-label", `${ticket.unseen} new`);
    button.classList.toggle("closed", ticket.closed);
    button.setAttribute("aria-current", String(ticket.id === state.openId));
    return item;
  });
  // Moving a focused element loses its focus: only put what is out of place.
  items.forEach((item, index) => { if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null); });
  while (list.children.length > items.length) list.lastChild.remove();
  const open = state.tickets.filter((ticket) => !ticket.closed);
  $("open-count").textContent = open.length ? `(${open.length})` : "";
  $("queue-empty").hidden = state.tickets.length > 0;
  const unseen = open.reduce((sum, ticket) => sum + ticket.unseen, 0);
  document.title = unseen ? `(${unseen}) Support desk` : "Support desk";
}

function newItem(id) {
  const item = element("li");
  item.dataset.id = id;
  const button = element("button", "queue-item");
  button.type = "button";
  button.dataset.testid = "queue-item";
  const badge = element("span", "badge");
  badge.setAttribute("role", "img");
  button.append(element("span", "who"), element("span", "when"), element("span", "preview"), badge, element("span", "what"));
  button.addEventListener("click", () => openChat(id));
  item.append(button);
  return item;
}

document.addEventListener("keydown", (event) => {
  if (!event.altKey || (event.key !== "ArrowDown" && event.key !== "ArrowUp") || state.tickets.length === 0) return;
  event.preventDefault();
  const at = state.tickets.findIndex((ticket) => ticket.id === state.openId);
  const step = event.key === "ArrowDown" ? 1 : -1;
  const next = at < 0 ? 0 : (at + step + state.tickets.length) % state.tickets.length;
  openChat(state.tickets[next].id);
});

// --- the open chat

function openChat(id) {
  if (state.openId !== null) state.drafts.set(state.openId, $("reply").value);
  if (state.openId !== id) { $("messages").replaceChildren(); $("announcer").textContent = ""; state.ticket = null; }
  state.openId = id;
  $("reply").value = state.drafts.get(id) ?? "";
  $("answer-error").textContent = "";
  drawQueue();
  void attempt(refreshChat).then(() => { if (state.openId === id) (state.ticket?.closed ? $("contact") : $("reply")).focus(); });
}

async function refreshChat() {
  const id = state.openId;
  const ticket = await call("GET", `tickets/${id}`).catch((error) => { if (error.status === 404) return null; throw error; });
  if (state.openId !== id) return;
  if (ticket === null) { closeView(); return; }
  const first = state.ticket === null;
  state.ticket = ticket;
  drawChat(first);
  if (ticket.unseen > 0 && document.visibilityState === "visible") await call("POST", `tickets/${id}/seen`, {});
}

document.addEventListener("visibilitychange", () => { if (state.agent && document.visibilityState === "visible") void attempt(refresh); });

function closeView() {
  state.openId = null;
  state.ticket = null;
  $("open-chat").hidden = true;
  $("nothing").hidden = false;
  $("desk").classList.remove("in-chat");
}

function drawChat(first) {
  const ticket = state.ticket;
  $("nothing").hidden = true;
  $("open-chat").hidden = false;
  $("desk").classList.add("in-chat");
  $("contact").textContent = nameOf(ticket);
  $("chat-facts").textContent = `${ticket.left_message ? "Message left" : "Chat begun"} at ${clock.format(ticket.opened_ms)}`;
  $("close").hidden = ticket.closed;
  $("answer-form").hidden = ticket.closed;
  $("ended").hidden = !ticket.closed;
  $("typing").textContent = ticket.typing && !ticket.closed ? `${nameOf(ticket)} is typing…` : "";

  const box = $("scroll");
  const atEnd = first || box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const list = $("messages");
  const known = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const pending = state.sending.filter((answer) => answer.ticket === ticket.id);
  const shown = [...ticket.entries.map((entry) => ({ key: `entry:${entry.id}`, entry })),
    ...pending.map((answer) => ({ key: answer.key, entry: answer.entry, sending: true }))];
  const items = shown.map(({ key, entry, sending }) => known.get(key) ?? newMessage(key, entry, sending, first));
  for (const [key, item] of known) if (!shown.some((one) => one.key === key)) item.remove();
  items.forEach((item, index) => { if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null); });
  shown.forEach(({ entry }, index) => { items[index].querySelector(".left").textContent = left(entry.expires_ms); });
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function newMessage(key, entry, sending, first) {
  const item = element("li", `message ${entry.author}`);
  item.dataset.key = key;
  if (entry.author === "person" || entry.author === "agent") item.dataset.testid = "message";
  item.classList.toggle("sending", Boolean(sending));
  const name = entry.name ?? (entry.author === "bridge" ? "Note, only for agents" : "");
  const meta = element("p", "meta");
  meta.append(element("span", "name", name), ` · ${clock.format(entry.at_ms)} · `, element("span", "left"));
  const body = element("div", "text", entry.author === "closed" ? `${entry.name ?? "Someone"} ended the chat.` : entry.text);
  if (entry.file) {
    const link = element("a", "file", `${entry.file.name} (${size(entry.file.size_bytes)})`);
    link.href = `api/files/${entry.id}`;
    link.download = entry.file.name;
    link.dataset.testid = "attachment";
    body.replaceChildren(link);
  }
  item.append(meta, body);
  if (!first && (entry.author === "person" || entry.author === "bridge")) {
    $("announcer").textContent = `${name}: ${entry.file ? entry.file.name : entry.text}`;
  }
  return item;
}

// What has expired on the server goes from the page at the same moment.
setInterval(() => {
  if (!state.ticket) return;
  state.ticket.entries = state.ticket.entries.filter((entry) => entry.expires_ms > Date.now());
  drawChat(false);
}, 15000);

$("back").addEventListener("click", () => { const id = state.openId; closeView(); document.querySelector(`[data-id="${id}"] button`)?.focus(); drawQueue(); });

// --- answering and ending

$("reply").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("answer-form").requestSubmit();
  }
});

/** While an answer grows, the person sees it: said once in a few seconds, and when the field is empty again. */
const typed = { ticket: null, at: 0 };
function tellTyping() {
  const typing = $("reply").value.trim() !== "";
  if (state.openId === null || (!typing && typed.ticket !== state.openId)) return;
  if (typing && typed.ticket === state.openId && Date.now() - typed.at < 4000) return;
  Object.assign(typed, { ticket: typing ? state.openId : null, at: Date.now() });
  // Nobody waits for this: without it the person merely sees less.
  void call("PUT", `tickets/${state.openId}/typing`, { typing }).catch(() => {});
}

$("reply").addEventListener("input", tellTyping);

$("answer-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("reply").value.trimEnd();
  if (!text.trim() || state.openId === null) return;
  const id = state.openId;
  const now = Date.now();
  const answer = {
    key: crypto.randomUUID?.() ?? `${now}-${Math.random()}`, ticket: id, text,
    entry: { author: "agent", name: state.agent.name, text, at_ms: now, expires_ms: now + state.agent.lifetime_ms },
  };
  state.sending.push(answer);
  $("reply").value = "";
  typed.ticket = null;
  state.drafts.delete(id);
  $("answer-error").textContent = "";
  drawChat(false);
  void deliver(answer);
});

/** Sends an answer until the desk has it; its key makes a repetition harmless. */
async function deliver(answer) {
  for (let pause = 500; state.agent; pause = Math.min(pause * 2, 10000)) {
    try {
      await call("POST", `tickets/${answer.ticket}/answers`, { key: answer.key, text: answer.text });
      break;
    } catch (error) {
      if (error instanceof SignedOut) { showSignIn(); return; }
      if (error.status && error.status < 500) {
        if (state.openId === answer.ticket) {
          $("answer-error").textContent = error.message;
          if (!$("reply").value) $("reply").value = answer.text;
        }
        break;
      }
      $("connection").textContent = "No connection. Trying again…";
      await new Promise((resolve) => { setTimeout(resolve, pause); });
    }
  }
  state.sending = state.sending.filter((one) => one !== answer);
  await attempt(refresh);
}

$("close").addEventListener("click", () => {
  const id = state.openId;
  if (id === null) return;
  void attempt(async () => { await call("POST", `tickets/${id}/close`, {}); await refresh(); }, (text) => { $("answer-error").textContent = text; })
    .then(() => $("contact").focus());
});

attempt(showDesk).then((ok) => { if (!ok && state.agent === null) showSignIn(); });
