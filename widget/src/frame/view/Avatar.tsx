/** A person's initials on a colour of their own. */
import type { JSX } from "preact";

const TONES = 6;

function initials(name: string): string {
    const words = name
        .replace(/\(.*\)/, "")
        .trim()
        .split(/\s+/);
    const first = [...(words[0] ?? "")][0] ?? "?";
    const last = words.length > 1 ? ([...(words[words.length - 1] ?? "")][0] ?? "") : "";
    return (first + last).toLocaleUpperCase();
}

function tone(user_id: string): number {
    let sum = 0;
    for (const character of user_id) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
    return sum % TONES;
}

interface Props {
    user_id: string;
    name: string;
    /** Shows a dot; nothing while unknown. */
    online?: boolean | undefined;
    small?: boolean;
}

export function Avatar({ user_id, name, online, small = false }: Props): JSX.Element {
    return (
        <span class={`avatar tone-${tone(user_id)}${small ? " small" : ""}`} aria-hidden="true">
            {initials(name)}
            {online !== undefined && <i class={online ? "dot online" : "dot"} />}
        </span>
    );
}
