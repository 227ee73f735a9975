/** axe-core on what is on the screen: the host page, the icon in its shadow root, and the framed page. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** WCAG 2.0 to 2.2, levels A and AA, and axe's good practices. */
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"];

async function violations(frame) {
    await frame.evaluate(axe);
    const { violations, passes } = await frame.evaluate(
        (tags) => window.axe.run(document, { runOnly: tags, resultTypes: ["violations", "passes"] }),
        TAGS,
    );
    assert.ok(passes.length > 0, "axe found nothing to look at");
    return violations.map(({ id, help, nodes }) => ({
        id,
        help,
        nodes: nodes.map((node) => `${node.html} ${node.failureSummary}`),
    }));
}

/** Fails if axe finds anything, naming the state it was found in. */
export async function assertAccessible(person, state) {
    await person.page.waitForFunction(() =>
        document
            .getAnimations()
            .every((animation) => animation.playState !== "running" || animation.effect.getTiming().iterations === Infinity),
    );
    const framed = person.page.frames().find((frame) => frame.url().includes("/_vestibule/widget/frame.html"));
    await framed.evaluate(() =>
        Promise.all(
            document
                .getAnimations()
                .filter((animation) => animation.effect.getTiming().iterations !== Infinity)
                .map((animation) => animation.finished.catch(() => {})),
        ),
    );
    for (const frame of [person.page.mainFrame(), framed])
        assert.deepEqual(await violations(frame), [], `${state}: ${frame.url()}`);
}
