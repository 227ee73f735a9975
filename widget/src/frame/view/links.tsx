/** Web addresses in a text become links; nothing else of a message is ever interpreted. */
import type { ComponentChildren } from "preact";

const ADDRESS = /\bhttps?:\/\/[^\s<>"']+/gi;
/** Punctuation that ends a sentence rather than an address. */
const TRAILING = /[.,;:!?)\]}…]+$/;

/** The parts of a text: strings and addresses. */
export function split(text: string): { text: string; address?: string }[] {
    const parts: { text: string; address?: string }[] = [];
    let at = 0;
    for (const match of text.matchAll(ADDRESS)) {
        const address = match[0].replace(TRAILING, "");
        if (match.index > at) parts.push({ text: text.slice(at, match.index) });
        parts.push(URL.canParse(address) ? { text: address, address } : { text: address });
        at = match.index + address.length;
    }
    if (at < text.length) parts.push({ text: text.slice(at) });
    return parts;
}

/** A text with its addresses as links. */
export function linked(text: string): ComponentChildren {
    return split(text).map((part) =>
        part.address ? (
            <a href={part.address} target="_blank" rel="noopener noreferrer nofollow">
                {part.text}
            </a>
        ) : (
            part.text
        ),
    );
}
