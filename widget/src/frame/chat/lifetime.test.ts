import { expect, test } from "vitest";
import { remaining } from "./lifetime.ts";
import { nextChange } from "./timeline.ts";

test.each([
    [86_400_000, "hour", 24],
    [10_700_000, "hour", 3],
    [3_540_001, "hour", 1],
    [3_540_000, "minute", 59],
    [60_001, "minute", 2],
    [59_000, "second", 59],
    [1, "second", 1],
    [-5, "second", 0],
    [7 * 86_400_000, "day", 7],
])("%i ms are left: %s %i", (left_ms, unit, count) => {
    expect(remaining(left_ms)).toEqual({ unit, count });
});

test("a line changes when its last minute begins, then each second, and exactly at its end", () => {
    expect(nextChange(100_000, 0)).toBe(40_000);
    expect(nextChange(100_000, 40_000)).toBe(41_000);
    expect(nextChange(100_500, 99_900)).toBe(100_500);
    expect(nextChange(100_500, 99_000)).toBe(99_500);
});
