// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { byName, natural } from "../src/model/order";
import { nodeTitle, quote, visible, visibleJson } from "../src/model/text";

const DIRECTIONS = [0x61c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];

describe("text of devices", () => {
  it.each(DIRECTIONS)("the direction character %i is a mark", (code) => {
    const character = String.fromCharCode(code);
    const mark = `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    expect(visible(`a${character}b${character}`)).toBe(`a${mark}b${mark}`);
    expect(JSON.parse(visibleJson(JSON.stringify(character)))).toBe(character);
    expect(visibleJson(JSON.stringify(character))).toMatch(/^"\\u[0-9a-f]{4}"$/);
  });

  it("other invisible characters are marks; letters, line breaks and emoji are not", () => {
    expect(visible("\0\x1b[31m\u200b\ufeff\u2028")).toBe("[U+0000][U+001B][31m[U+200B][U+FEFF][U+2028]");
    for (const text of ["Küche 2", "a\tb\r\nc", "מטבח", "👩‍🔬 ❤️", "क्‍ष"]) expect(visible(text)).toBe(text);
  });

  it("text from right to left is isolated within a sentence", () => {
    expect(quote("Roof")).toBe("Roof");
    expect(quote("מטבח")).toBe("\u2068מטבח\u2069");
    expect(quote("\u2069x")).toBe("[U+2069]x");
  });

  it("a node is called by its name or uid", () => {
    expect(nodeTitle({ name: "", uid: "a\u202e" })).toBe("a[U+202E]");
    expect(nodeTitle({ name: "Roof", uid: "a" })).toBe("Roof");
  });
});

describe("natural order", () => {
  it("numbers within names count as numbers", () => {
    expect(["Node 10", "node 2", "Node 1", "Node 11", "Node 2"].sort(natural)).toEqual(["Node 1", "node 2", "Node 2", "Node 10", "Node 11"]);
    expect(["n0010", "n9", "n10"].sort(natural)).toEqual(["n9", "n0010", "n10"]);
  });

  it("nodes are in the order of name, then uid", () => {
    const node = (name: string, uid: string) => ({ name, uid });
    const list = [node("B", "1"), node("A", "10"), node("", "AA"), node("A", "9")];
    expect(list.sort(byName).map(({ uid }) => uid)).toEqual(["9", "10", "AA", "1"]);
  });

  it("the order does not depend on the order before", () => {
    const names = ["a", "A", "á", "a1", "a01", "a 1", "-1", "_", ""];
    expect([...names].reverse().sort(natural)).toEqual([...names].sort(natural));
  });
});
