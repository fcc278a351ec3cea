// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it, vi } from "vitest";
import { en as first } from "../src/i18n/en";
import { more } from "../src/i18n/more";
import { de } from "../src/i18n/de";
import { fr } from "../src/i18n/fr";
import { fill, typeset } from "../src/i18n/typeset";

vi.mock("../src/i18n/index", () => ({ language: { value: "en" } }));

type Dictionary = Record<string, string>;
const modules = import.meta.glob<Record<string, unknown>>(["../src/i18n/*.ts", "!../src/i18n/{index,texts,typeset,ages,words,en,fr,de,more}.ts"], { eager: true });
const parts = Object.entries(modules).map(([path, exports]): [string, Record<"en" | "fr" | "de", Dictionary>] => {
  const found = Object.values(exports).find((it): it is { words: Record<"en" | "fr" | "de", Dictionary> } => typeof it === "function" && "words" in it);
  if (!found) throw new Error(path);
  return [path.replace(/.*\//, ""), found.words];
});
parts.push(["index.ts", { en: { ...first, ...more }, fr, de }]);

const all = (code: "en" | "fr" | "de") => parts.flatMap(([part, words]) => Object.entries(words[code]).map(([key, text]) => ({ where: `${part} ${key}`, text: typeset(code, text) })));
const thatMatch = (code: "en" | "fr" | "de", pattern: RegExp) => all(code).filter(({ text }) => pattern.test(text)).map(({ where, text }) => `${where}: ${text}`);

describe("texts", () => {
  it("are in three languages, with the same keys and values", () => {
    expect(parts.length).toBeGreaterThan(10);
    const values = (text: string) => [...new Set([...text.matchAll(/\{(\w+)/g)].map(([, name]) => name))].sort().join();
    for (const [part, words] of parts)
      for (const code of ["fr", "de"] as const) {
        expect([part, Object.keys(words[code]).sort()]).toEqual([part, Object.keys(words.en).sort()]);
        for (const [key, text] of Object.entries(words.en)) expect(`${part} ${key} ${values(words[code][key])}`).toBe(`${part} ${key} ${values(text)}`);
      }
  });

  it("break no line between a number and its unit, or before a French sign", () => {
    for (const code of ["en", "fr", "de"] as const) expect(thatMatch(code, /[\d}] (s|h|msg\/s|%)(?![\p{L}\d])/u)).toEqual([]);
    expect(thatMatch("fr", / [:;!»]|« | \?$/)).toEqual([]);
    expect(thatMatch("fr", /[a-zé}]\?|[a-zé}][;!](?!=)/)).toEqual([]);
  });

  it("have no typewriter signs: quotes, dots, apostrophes", () => {
    for (const code of ["en", "fr", "de"] as const) expect(thatMatch(code, /\.\.\.|"/)).toEqual([]);
    for (const code of ["fr", "de"] as const) expect(thatMatch(code, /'/)).toEqual([]);
    expect(thatMatch("fr", /[“”„]/)).toEqual([]);
    expect(thatMatch("de", /[«»”]/)).toEqual([]);
  });

  it("have an ellipsis after a word as the language writes it", () => {
    for (const code of ["en", "fr"] as const) expect(thatMatch(code, /\s…/)).toEqual([]);
    expect(thatMatch("de", /[a-zäöüß]…/)).toEqual([]);
  });

  it("count", () => {
    expect([1, 2, "1", "1,000"].map((n) => fill("{n} {n|node|nodes}", { n }))).toEqual(["1 node", "2 nodes", "1 node", "1,000 nodes"]);
    expect(fill("{a} {b} {topic}/set", { a: "$&", b: 0 })).toBe("$& 0 {topic}/set");
  });

  it("are set with spaces that do not break", () => {
    expect(typeset("fr", "Inconnu : « a » en 5 s ?")).toBe("Inconnu\u00a0: «\u00a0a\u00a0» en 5\u00a0s\u00a0?");
    expect(typeset("de", "Wird geladen …")).toBe("Wird geladen\u00a0…");
    expect(typeset("en", "after 5 seconds: {n} s")).toBe("after 5 seconds: {n}\u00a0s");
  });
});
