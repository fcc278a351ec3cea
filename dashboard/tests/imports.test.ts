// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";

const sources = import.meta.glob<string>("../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });

/** What a module imports: values and types, at once and later. */
const IMPORT = /(?:from|import)\s*\(?\s*"(\.{1,2}(?:\/[^"]*)?)"/g;

function target(from: string, name: string, files: ReadonlySet<string>): string | undefined {
  const path = new URL(name, `file:///a/${from}`).pathname.slice(3);
  return [path, `${path}.ts`, `${path}.tsx`, `${path}/index.ts`].map((it) => it.replace(/\/+/g, "/")).find((it) => files.has(it));
}

const graphOf = (texts: Record<string, string>): Map<string, string[]> => {
  const files = new Map(Object.entries(texts).map(([path, text]) => [path.replace(/^\.\.\//, ""), text]));
  const names = new Set(files.keys());
  return new Map([...files].map(([path, text]) => [path, [...text.matchAll(IMPORT)].flatMap(([, name]) => target(path, name, names) ?? [])]));
};

/** A module, what it imports, and so on, back to the module; empty without a circle. */
function circleIn(graph: ReadonlyMap<string, string[]>): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (name: string): string[] => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return [];
    path.push(name);
    for (const next of graph.get(name) ?? []) {
      const found = visit(next);
      if (found.length) return found;
    }
    path.pop();
    done.add(name);
    return [];
  };
  for (const name of graph.keys()) {
    const found = visit(name);
    if (found.length) return found;
  }
  return [];
}

describe("modules", () => {
  it("import each other without a circle, also types and parts that are loaded later", () => {
    const graph = graphOf(sources);
    expect(graph.get("src/main.tsx")).toEqual(expect.arrayContaining(["src/config.ts", "src/narrow.ts", "src/ui/App.tsx"]));
    expect(graph.get("src/ui/edits.ts")).toContain("src/i18n/index.ts");
    expect(circleIn(graph)).toEqual([]);
  });

  it("would be reported", () => {
    const texts = { "../src/a.ts": 'import { b } from "./ui/b";', "../src/ui/b.tsx": 'const c = () => import("../c");', "../src/c.ts": 'import type { A } from "./a";' };
    expect(circleIn(graphOf(texts))).toEqual(["src/a.ts", "src/ui/b.tsx", "src/c.ts", "src/a.ts"]);
    expect(circleIn(graphOf({ ...texts, "../src/c.ts": 'import "preact";' }))).toEqual([]);
  });
});
