import { expect, test } from "vitest";
import { split } from "./links.tsx";

test.each([
    ["plain", ["plain"]],
    ["see https://example.org/a?b=1.", ["see ", "<https://example.org/a?b=1>", "."]],
    ["(https://example.org)", ["(", "<https://example.org>", ")"]],
    ["javascript:alert(1) http://a", ["javascript:alert(1) ", "<http://a>"]],
    ["https://", ["https://"]],
])("%s", (text, parts) => {
    expect(split(text).map((part) => (part.address ? `<${part.address}>` : part.text))).toEqual(parts);
});
