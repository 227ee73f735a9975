import { expect, test } from "vitest";
import { contrast, inkOn, readable, type Rgb } from "./theme.ts";

test("contrast is WCAG's", () => {
    expect(contrast([0, 0, 0], [255, 255, 255])).toBeCloseTo(21, 5);
    expect(contrast([119, 119, 119], [255, 255, 255])).toBeCloseTo(4.48, 2);
});

test.each<[string, Rgb]>([
    ["yellow", [255, 220, 0]],
    ["navy", [0, 0, 80]],
    ["mid grey", [119, 119, 119]],
    ["pink", [255, 105, 180]],
])("text on %s can be read", (_, colour) => {
    expect(contrast(inkOn(colour), colour)).toBeGreaterThanOrEqual(4.5);
});

test.each<[string, Rgb, Rgb]>([
    ["yellow on white", [255, 220, 0], [255, 255, 255]],
    ["navy on dark", [0, 0, 80], [20, 26, 27]],
    ["teal on white", [15, 118, 110], [255, 255, 255]],
])("%s is moved until it can be read", (_, colour, surface) => {
    expect(contrast(readable(colour, surface), surface)).toBeGreaterThanOrEqual(4.5);
});

test("a colour that can be read is left alone", () => {
    expect(readable([15, 118, 110], [255, 255, 255])).toEqual([15, 118, 110]);
});
