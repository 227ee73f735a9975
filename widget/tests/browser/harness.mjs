/** What the browser tests share: real Chromium, one profile per person, the pages of the demonstration platform. */
import { once } from "node:events";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

/** Where the servers under test are. `./test` starts them; see widget/README.md. */
export const places = {
    homeserver: process.env.HOMESERVER_URL ?? "http://127.0.0.1:8008",
    demonstration: process.env.DEMONSTRATION_URL ?? "http://127.0.0.1:8090",
    desk: process.env.DESK_URL,
    data: process.env.VESTIBULE_DATA,
};

/** Slow machines share their cores; a condition that isn't met in this time never will be. */
export const WAIT_MS = 60_000;

export function launchBrowser() {
    return chromium.launch({
        executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
        args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
}

/** A person: a browser profile of their own, with one page of the platform. */
export class Person {
    constructor(context, page) {
        this.context = context;
        this.page = page;
        this.complaints = [];
        page.on("pageerror", (error) => this.complaints.push(String(error)));
        page.on("console", (message) => {
            if (message.type() === "error") this.complaints.push(message.text());
        });
    }

    static async arrive(browser, path, options = {}) {
        const context = await browser.newContext({ acceptDownloads: true, ...options });
        context.setDefaultTimeout(WAIT_MS);
        const page = await context.newPage();
        const person = new Person(context, page);
        await page.goto(path.startsWith("/") ? places.demonstration + path : path);
        return person;
    }

    /** The icon at the bottom right of the page. */
    icon() {
        return this.page.locator("vestibule-chat button");
    }

    /** The framed page, from Vestibule's own origin. */
    frame() {
        return this.page.frameLocator("vestibule-chat iframe");
    }

    /** Opens the window as a person would, by the icon, and waits until it is connected. */
    async openWindow() {
        await this.icon().click();
        const frame = this.frame();
        await frame.locator(".tabs, [data-testid=chat]").first().waitFor();
        return frame;
    }

    leave() {
        return this.context.close();
    }
}

/** The row of a message with this text. */
export function message(frame, text) {
    return frame.locator('[data-testid="message"]', { has: frame.getByTestId("text").getByText(text, { exact: true }) });
}

/** Writes a line and sends it with Enter. */
export async function write(frame, text) {
    const composer = frame.getByTestId("composer");
    await composer.fill(text);
    await composer.press("Enter");
}

/** A host opens the chat with somebody by typing part of the name. */
export async function launchChat(frame, part, whole) {
    await frame.getByTestId("contact").fill(part);
    await frame.getByRole("option", { name: whole }).click();
    await frame.getByTestId("launch-user-chat").click();
    await frame.getByTestId("composer").waitFor();
}

/**
 * The smallest platform there can be: a page for each of its people, `/?who=NAME`, with the one script tag. `credentialsOf` answers
 * what a person's page is given.
 */
export async function startPlatform(homeserver, credentialsOf) {
    const server = createServer(async (request, response) => {
        const who = new URL(request.url, "http://platform").searchParams.get("who");
        if (request.method === "POST") {
            const credentials = JSON.stringify(await credentialsOf(who));
            return response.setHeader("Content-Type", "application/json").end(credentials);
        }
        const tag = `<script src="${homeserver}/_vestibule/widget/loader.js" data-credentials="/credentials?who=${who}" defer></script>`;
        return response.setHeader("Content-Type", "text/html").end(`<!doctype html><title>A visit</title>${tag}`);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
}
