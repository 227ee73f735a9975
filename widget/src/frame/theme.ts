/** The page's colours, made readable: text on the accent, and the accent as text, keep WCAG's 4.5 : 1. */

export type Rgb = readonly [red: number, green: number, blue: number];

/** WCAG 2 contrast asked of text. */
const CONTRAST_MIN = 4.5;
const WHITE: Rgb = [255, 255, 255];
const BLACK: Rgb = [0, 0, 0];

/** Relative luminance (WCAG 2). */
function luminance(colour: Rgb): number {
    const [r, g, b] = colour.map((channel) => {
        const value = channel / 255;
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Contrast of two colours, 1 to 21 (WCAG 2). */
export function contrast(a: Rgb, b: Rgb): number {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
    return (light + 0.05) / (dark + 0.05);
}

/** Black or white, whichever is easier to read on a colour. */
export function inkOn(colour: Rgb): Rgb {
    return contrast(colour, WHITE) >= contrast(colour, BLACK) ? WHITE : BLACK;
}

/** The colour itself, or the nearest shade of it that can be read on a surface. */
export function readable(colour: Rgb, surface: Rgb): Rgb {
    const target = luminance(surface) > 0.4 ? BLACK : WHITE;
    for (let share = 0; share < 1; share += 0.05) {
        const mixed = colour.map((channel, at) => Math.round(channel + ((target[at] ?? 0) - channel) * share)) as [
            number,
            number,
            number,
        ];
        if (contrast(mixed, surface) >= CONTRAST_MIN) return mixed;
    }
    return target;
}

function css([r, g, b]: Rgb): string {
    return `rgb(${r} ${g} ${b})`;
}

/** Any CSS colour as numbers; undefined if it is none. */
function parse(value: string): Rgb | undefined {
    if (!CSS.supports("color", value)) return undefined;
    const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    if (!context) return undefined;
    context.fillStyle = value;
    context.fillRect(0, 0, 1, 1);
    const [r = 0, g = 0, b = 0] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b];
}

const COLOURS = ["accent", "accent-ink", "surface", "surface-2", "ink", "ink-2", "line"];

/** Whether a value may become a custom property. Values are set through the CSSOM, so they can't break out of it. */
function accepts(name: string, value: string): boolean {
    if (COLOURS.includes(name)) return CSS.supports("color", value);
    if (name === "radius") return CSS.supports("border-radius", value);
    return name === "font" && CSS.supports("font-family", value) && !/url\(/i.test(value);
}

/** Puts the page's theme on the frame. */
export function applyTheme(theme: "light" | "dark", style: Record<string, string>): void {
    const root = document.documentElement;
    root.dataset["theme"] = theme;
    root.removeAttribute("style");
    for (const [name, value] of Object.entries(style)) if (accepts(name, value)) root.style.setProperty(`--${name}`, value);
    const computed = getComputedStyle(root);
    const accent = parse(computed.getPropertyValue("--accent").trim());
    const surface = parse(computed.getPropertyValue("--surface").trim());
    if (!accent || !surface) return;
    const ink = parse(style["accent-ink"] ?? "");
    if (!ink || contrast(ink, accent) < CONTRAST_MIN) root.style.setProperty("--accent-ink", css(inkOn(accent)));
    root.style.setProperty("--accent-text", css(readable(accent, surface)));
}
