/** A page that ends at a chosen moment of its opening, by the requests it sends to the homeserver. */

/** The client interfaces; the widget's own files change nothing. */
const isCall = (url) => /^\/(_matrix|_vestibule)\/(client|media)\//.test(url.pathname);

/** What a request is, whoever and whatever it is about. */
function nameOf(request) {
    const url = new URL(request.url());
    const path = url.pathname
        .replace(/[^/]*(%40|%21|%24|%3A|[@!$:])[^/]*/g, "…")
        .replace(/\/(send\/[^/]+|sendToDevice\/[^/]+|dehydrated_device)\/[^/]+/, "/$1/…");
    const since = url.searchParams.has("since") ? " since" : "";
    return `${request.method()} ${path}${since}`;
}

/** Whether the server may wait before it answers. */
const isLongPoll = (request) => Number(new URL(request.url()).searchParams.get("timeout") ?? 0) > 0;

/** Writes down what a page asks of the homeserver, in the order it asks. */
export function record(page) {
    const names = [];
    page.on("request", (request) => isCall(new URL(request.url())) && names.push(nameOf(request)));
    return names;
}

/** What only reads, though it isn't a GET. */
const QUERY = "POST /_matrix/client/v3/keys/query";
/** What is read that may be read only once, or not again as it was. */
const DELICATE = /\/(sync|dehydrated_device)\b/;

/** `sent`: the server has done what was asked, and its answer never arrives. `answered`: the answer has arrived. */
const ENDS = ["sent", "answered"];

/**
 * The moments worth an end, of a recorded opening: each request that changes something on the server, with both ends; of what else
 * matters the first of its kind, with either by turns. Between these, an end leaves behind what it leaves at the one before. To a page
 * that `isStored` nowhere the two ends are the same, so it has one of them each time. The order of requests varies a little: a moment is
 * told by the request's name, and which of that name it is, `nth`, from 1.
 */
export function momentsOf(names, isStored) {
    let turns = 0;
    const either = () => [ENDS[turns++ % 2]];
    return names.flatMap((name, index) => {
        const nth = names.slice(0, index + 1).filter((other) => other === name).length;
        const isWrite = !name.startsWith("GET ") && name !== QUERY;
        const ends = isWrite ? (isStored ? ENDS : either()) : DELICATE.test(name) && nth === 1 ? either() : [];
        return ends.map((at) => ({ name, nth, at }));
    });
}

/** Answers a promise that is kept when the page's opening is at this moment. No later request leaves the page. */
export async function reach(page, { name, nth, at }) {
    let count = 0;
    let come;
    const reached = new Promise((resolve) => (come = () => resolve(true)));
    await page.route(isCall, async (route) => {
        if (count === nth) return; // as good as gone
        const request = route.request();
        if (nameOf(request) !== name || ++count < nth) return route.continue();
        if (isLongPoll(request)) await route.continue();
        else {
            const response = await route.fetch({ timeout: 0 });
            if (at === "answered") await route.fulfill({ response });
        }
        come();
    });
    return { reached };
}

/** Ends the page's process, as a browser or a machine that goes down does: nothing of the page runs after it. */
export async function crash(page) {
    const session = await page.context().newCDPSession(page);
    const crashed = page.waitForEvent("crash");
    session.send("Page.crash").catch(() => {}); // nobody is left to answer
    await crashed;
    await page.close();
}
