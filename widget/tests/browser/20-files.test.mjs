/** Files: dropped, encrypted, transferred whole, and nowhere readable on the server's disk. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchBrowser, launchChat, message, Person, places, write } from "./harness.mjs";

const SIZE = 20 * 1024 * 1024;
const stamp = Date.now().toString(36);
let browser, ada, host, casey, guest, sent;

before(async () => {
    browser = await launchBrowser();
    ada = await Person.arrive(browser, "/host?as=ada");
    host = await ada.openWindow();
    await launchChat(host, "casey", /Casey Jones/);
    casey = await Person.arrive(browser, "/waiting-room");
    guest = await casey.openWindow();
    await guest.getByTestId("chat-now").click();
});
after(() => browser?.close());

/** Drops a file of random bytes, as a person would from a folder; answers its checksum and a piece of it. */
async function drop(frame, size, name) {
    await frame.getByTestId("file-icon").click();
    const area = frame.getByTestId("drop-area");
    return area.evaluate(
        async (element, { size, name }) => {
            const bytes = new Uint8Array(size);
            for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
            const hex = (data) => [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "application/zip" }));
            const answer = {
                sha256: hex(await crypto.subtle.digest("SHA-256", bytes)),
                pieces: [hex(bytes.subarray(0, 48)), hex(bytes.subarray(size >> 1, (size >> 1) + 48))],
            };
            element.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
            return answer;
        },
        { size, name },
    );
}

async function checksum(path) {
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    return hash.digest("hex");
}

test("20 MB dropped on the area arrive with the same SHA-256", async () => {
    sent = await drop(host, SIZE, `scan ${stamp}.zip`);
    await host.getByTestId("upload-progress").waitFor();
    await host
        .getByTestId("file")
        .filter({ hasText: `scan ${stamp}.zip` })
        .waitFor();
    const card = guest.getByTestId("file").filter({ hasText: `scan ${stamp}.zip` });
    await card.waitFor();
    const [download] = await Promise.all([casey.page.waitForEvent("download"), card.getByTestId("download").click()]);
    assert.equal(download.suggestedFilename(), `scan ${stamp}.zip`);
    const path = await download.path();
    assert.equal((await stat(path)).size, SIZE);
    assert.equal(await checksum(path), sent.sha256);
});

test("a picture is shown in its place", async () => {
    const png = await ada.page.screenshot({ clip: { x: 0, y: 0, width: 320, height: 200 } });
    await guest.getByTestId("file-icon").click();
    await guest.getByTestId("file-input").setInputFiles({ name: `view ${stamp}.png`, mimeType: "image/png", buffer: png });
    const picture = host.getByRole("img", { name: `Picture view ${stamp}.png` });
    await picture.waitFor();
    assert.equal(await picture.evaluate((image) => image.decode().then(() => image.naturalWidth)), 320);
});

test(
    "neither the text nor the file is in the server's data",
    { skip: places.data ? false : "VESTIBULE_DATA is not set" },
    async () => {
        const text = `The code word is plover ${stamp}`;
        await write(host, text);
        await message(guest, text).waitFor();
        const needles = [
            Buffer.from(text),
            Buffer.from(text, "utf16le"),
            Buffer.from(`scan ${stamp}.zip`),
            ...sent.pieces.map((piece) => Buffer.from(piece, "hex")),
        ];
        let bytes = 0;
        for (const entry of await readdir(places.data, { recursive: true, withFileTypes: true })) {
            if (!entry.isFile()) continue;
            const path = join(entry.parentPath ?? entry.path, entry.name);
            const content = await readFile(path).catch((error) => {
                if (error.code === "ENOENT") return Buffer.alloc(0); // compacted away meanwhile
                throw error;
            });
            bytes += content.length;
            for (const needle of needles) assert.equal(content.includes(needle), false, `${path} holds plaintext`);
        }
        assert.ok(bytes > SIZE, `only ${bytes} bytes were looked at: this is not the folder the server writes to`);
    },
);
