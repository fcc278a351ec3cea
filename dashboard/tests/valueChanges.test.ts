// SPDX-License-Identifier: BSD-3-Clause
import { expect, test } from "vitest";
import { lastChanges } from "../src/model/valueChanges";

const samples = (...texts: string[]) => texts.map((text, ts) => ({ ts, text }));

test("the latest changes come first, and repeated values are none", () => {
  expect(lastChanges(samples("1", "1", "0", "0", "1"), 10)).toEqual([
    { ts: 4, text: "1" },
    { ts: 2, text: "0" },
    { ts: 0, text: "1" },
  ]);
});

test("only so many are listed", () => {
  expect(lastChanges(samples("a", "b", "c", "d"), 2).map(({ text }) => text)).toEqual(["d", "c"]);
  expect(lastChanges([], 2)).toEqual([]);
});
