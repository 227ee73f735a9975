/** The texts in the page's language. */
import { computed, signal } from "@preact/signals";
import { remaining } from "../chat/lifetime.ts";
import { ar } from "./ar.ts";
import { en, type TextKey } from "./en.ts";
import { es } from "./es.ts";
import { fr } from "./fr.ts";

const TEXTS: Record<string, Record<TextKey, string>> = { en, es, fr, ar };

/** Language of the page, as a BCP 47 tag. */
export const language = signal("en");

/** The language the texts are in: the page's, or English. */
export const shown = computed(() => {
    const base = language.value.toLowerCase().split(/[-_]/)[0] ?? "en";
    return base in TEXTS ? base : "en";
});

/** The tag for dates and numbers: with the page's region, if the language is one we have. */
const formatTag = computed(() => {
    try {
        const tag = language.value.replace("_", "-");
        return tag.toLowerCase().startsWith(shown.value) ? (Intl.getCanonicalLocales(tag)[0] ?? shown.value) : shown.value;
    } catch {
        return shown.value; // the page's `lang` is not a tag
    }
});

type Values = Record<string, string | number>;

/** A text, filled in. */
export function t(key: TextKey, values: Values = {}): string {
    const text = TEXTS[shown.value]?.[key] ?? en[key];
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
        const value = values[name];
        return value === undefined
            ? whole
            : typeof value === "number"
              ? new Intl.NumberFormat(formatTag.value).format(value)
              : value;
    });
}

type PluralKey = { [K in TextKey]: K extends `${infer Base}_other` ? Base : never }[TextKey];

/** A text that depends on a count. */
export function plural(key: PluralKey, count: number): string {
    const rule = new Intl.PluralRules(shown.value).select(count) === "one" ? "one" : "other";
    return t(`${key}_${rule}`, { count });
}

/** "3 h", as in "deleted in 3 h". */
export function shortDuration(left_ms: number): string {
    const { unit, count } = remaining(left_ms);
    const key = { day: "unitDay", hour: "unitHour", minute: "unitMinute", second: "unitSecond" } as const;
    return t(key[unit], { count });
}

/** "24 hours", as in "deleted after 24 hours". */
export function longDuration(duration_ms: number): string {
    const { unit, count } = remaining(duration_ms);
    const key = { day: "days", hour: "hours", minute: "minutes", second: "seconds" } as const;
    return plural(key[unit], count);
}

/** Time of day; with the date if it is not today's. */
export function timeOf(at: number, now: number): string {
    const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
    const options: Intl.DateTimeFormatOptions = sameDay ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" };
    return new Intl.DateTimeFormat(formatTag.value, options).format(at);
}

/** "2.4 MB". */
export function sizeOf(bytes: number): string {
    const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
    let [value, at] = [bytes, 0];
    while (value >= 1_000 && at < units.length - 1) [value, at] = [value / 1_000, at + 1];
    const options: Intl.NumberFormatOptions = {
        style: "unit",
        unit: units[at] ?? "byte",
        unitDisplay: "short",
        maximumFractionDigits: value < 10 && at > 0 ? 1 : 0,
    };
    return new Intl.NumberFormat(formatTag.value, options).format(value);
}
