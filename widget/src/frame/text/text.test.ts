import { beforeEach, expect, test } from "vitest";
import { ar } from "./ar.ts";
import { en, type TextKey } from "./en.ts";
import { es } from "./es.ts";
import { fr } from "./fr.ts";
import { language, longDuration, plural, shortDuration, sizeOf, t } from "./index.ts";

beforeEach(() => {
    language.value = "en";
});

function blanks(text: string): string[] {
    return (text.match(/\{\w+\}/g) ?? []).sort();
}

test.each([
    ["es", es],
    ["fr", fr],
    ["ar", ar],
])("%s fills in what English fills in", (_, texts) => {
    for (const key of Object.keys(en) as TextKey[]) {
        const own = blanks(texts[key]);
        // a language may write "one" out instead of the number
        if (key.endsWith("_one")) expect([[], blanks(en[key])], key).toContainEqual(own);
        else expect(own, key).toEqual(blanks(en[key]));
        expect(texts[key].trim(), key).not.toBe("");
    }
});

test("texts follow the page's language, and fall back to English", () => {
    expect(t("send")).toBe("Send");
    language.value = "es-MX";
    expect(t("send")).toBe("Enviar");
    language.value = "tlh";
    expect(t("send")).toBe("Send");
    language.value = "not a tag";
    expect(plural("unread", 2)).toBe("2 unread messages");
});

test("durations and sizes are short", () => {
    expect(shortDuration(3 * 3_600_000)).toBe("3 h");
    expect(longDuration(24 * 3_600_000)).toBe("24 hours");
    expect(longDuration(3_600_000)).toBe("1 hour");
    expect(sizeOf(20_971_520)).toBe("21 MB");
    expect(sizeOf(1_234)).toBe("1.2 kB");
    language.value = "fr";
    expect(longDuration(24 * 3_600_000)).toBe("24 heures");
});

test("what a value brings along is not filled in again", () => {
    expect(t("arrived", { name: "{text}", text: "x" })).toBe("{text}: x");
});
