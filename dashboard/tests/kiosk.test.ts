// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { nextTurn, parseKiosk, screensOf, turnsOf } from "../src/model/kiosk";
import { rangeSeconds, rangeText, SPANS } from "../src/model/timeView";

describe("a wall screen", () => {
  it.each([
    ["", null],
    ["?view=a", null],
    ["?kiosk", { seconds: 30, views: [] }],
    ["?kiosk=12", { seconds: 12, views: [] }],
    ["?kiosk=1", { seconds: 5, views: [] }],
    ["?kiosk=0", { seconds: 5, views: [] }],
    ["?kiosk=99999", { seconds: 3600, views: [] }],
    ["?kiosk=-3", { seconds: 30, views: [] }],
    ["?kiosk=soon", { seconds: 30, views: [] }],
    ["?kiosk=9&views=b,,a", { seconds: 9, views: ["b", "a"] }],
  ])("%s", (search, expected) => expect(parseKiosk(search)).toEqual(expected));

  it("shows all views, or those of its address that exist, in their order", () => {
    expect(turnsOf({ seconds: 30, views: [] }, ["a", "b"])).toEqual(["a", "b"]);
    expect(turnsOf({ seconds: 30, views: ["b", "gone", "a"] }, ["a", "b"])).toEqual(["b", "a"]);
  });

  it("begins again after the last view, and after one that was removed", () => {
    expect([nextTurn(["a", "b"], "a"), nextTurn(["a", "b"], "b"), nextTurn(["a", "b"], "gone"), nextTurn([], "a")]).toEqual(["b", "a", "a", ""]);
  });

  it("shows all screens of a long view", () => {
    expect([screensOf(1000, 1000), screensOf(1080, 1000), screensOf(2500, 1000), screensOf(1e6, 1000)]).toEqual([1, 1, 3, 20]);
  });
});

it("each span of the charts is kept by a view", () => expect(SPANS.map(rangeText).map(rangeSeconds)).toEqual([...SPANS]));
it.each(["", "5h", "1w", "999d", "h", "1h1h"])("charts have no range %j", (text) => expect(rangeSeconds(text)).toBe(0));
