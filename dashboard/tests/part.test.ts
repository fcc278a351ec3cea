// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { NAMES_MAX, namesWith, nextPart } from "../src/model/part";
import { parseQuery } from "../src/model/query";
import { newState, reduce } from "../src/model/state";
import { summarise } from "../src/model/summary";

const uids = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `n${from + at}`);

describe("the part of the readings that a page asks for", () => {
  it("is what it shows", () => {
    expect([...nextPart(null, uids(0, 50), false)!]).toEqual(uids(0, 50));
  });

  it("is everything where all readings count, and beyond the limit of the broker", () => {
    expect(nextPart(new Set(uids(0, 5)), uids(0, 5), true)).toBeNull();
    expect(nextPart(null, uids(0, 2001), false)).toBeNull();
  });

  it("stays while it has all that is shown", () => {
    const part = nextPart(null, uids(0, 50), false)!;
    expect(nextPart(part, uids(10, 40), false)).toBe(part);
  });

  it("keeps some of what was shown, and is bounded", () => {
    let part: ReadonlySet<string> | null = null;
    for (let top = 0; top < 10_000; top += 40) {
      part = nextPart(part, uids(top, top + 100), false)!;
      expect(part.size).toBeLessThanOrEqual(400);
      expect(uids(top, top + 100).every((uid) => part!.has(uid))).toBe(true);
    }
    expect(part!.has("n9900")).toBe(true);
  });
});

describe("filters that need the readings of all nodes", () => {
  it.each([
    ["Temp>25", ["temp"]],
    ["led:1 -hum<=3", ["led", "hum"]],
    ["has:led", ["led"]],
    ["kitchen", []],
    ["board:samr21 tag:lamps", []],
    ["state:stale", []],
    ["update:failed", []],
  ])("%s: %s", (text, reads) => expect(parseQuery(text).reads).toEqual(reads));

  it("name the resources that begin so", () => {
    expect(namesWith(["temp"], ["Temperature", "temp_2", "led"])).toEqual(["temp", "Temperature", "temp_2"]);
    expect(namesWith([], ["led"])).toEqual([]);
    expect(namesWith(["a b", "x".repeat(65)], ["a b c"])).toEqual(["a b c"]);
  });

  it("need everything where they name too many", () => {
    const known = Array.from({ length: NAMES_MAX }, (_, at) => `t${at}`);
    expect(namesWith(["t"], known)).toBeNull();
    expect(namesWith(["t"], known.slice(1))).toHaveLength(NAMES_MAX);
  });
});

describe("nodes whose readings are left out", () => {
  it("are online as long as the broker names them", () => {
    const state = newState(0);
    reduce(state, { type: "opened", legacy: false }, 0);
    reduce(state, { type: "new", uid: "n", ts: 10 }, 10);
    reduce(state, { type: "update", uid: "n", endpoint: "t", data: "1", ts: 10 }, 10);
    reduce(state, { type: "joined", ts: 10 }, 10);
    expect(summarise(state, 200)).toMatchObject({ online: 1, stale: 1 });
    reduce(state, { type: "seen", uids: ["n", "unknown"], ts: 195 }, 195);
    expect(summarise(state, 200)).toMatchObject({ online: 1, stale: 0 });
  });
});

describe("a page that is not scrolled", () => {
  it("asks only for what it shows", () => {
    const part = nextPart(new Set(uids(0, 300)), uids(100, 150), false)!;
    expect(part.size).toBe(300);
    const rested = nextPart(part, uids(100, 150), false, true)!;
    expect([...rested]).toEqual(uids(100, 150));
    expect(nextPart(rested, uids(100, 150), false, true)).toBe(rested);
  });
});
