// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import type { Alert } from "../src/alerts";
import { alertsOf, concerning, edgesOf, LANES_MAX, SPANS_MAX, spansOf } from "../src/model/alertSpans";

const alert = (raised: number, cleared = 0, more: Partial<Alert> = {}): Alert => ({ id: `${raised}`, rule: "warm", title: "Too warm", severity: "warning", uid: "n", raised, cleared, state: cleared ? "cleared" : "active", ...more });

describe("alerts in charts", () => {
  it("are those of the node, and of the resource or of the node itself", () => {
    const all = [alert(10), alert(20, 0, { uid: "m" }), alert(30, 0, { uid: undefined, gateway: "roof" }), alert(0)];
    expect(alertsOf(all, "n")).toEqual([all[0]]);
    const its = [alert(10, 0, { resource: "temperature" }), alert(20), alert(30, 0, { resource: "humidity" })];
    expect(concerning(its, "temperature")).toEqual([its[0], its[1]]);
  });

  it("are cut to the view; what is active lasts until its end", () => {
    const spans = spansOf([alert(5, 15), alert(30), alert(60, 70), alert(1, 9)], 10, 50);
    expect(spans.map(({ from, to }) => [from, to])).toEqual([
      [10, 15],
      [30, 50],
    ]);
    expect(edgesOf(spans)).toEqual([10, 15, 30, 50]);
  });

  it("of a past view are as they were then", () => {
    // Raised before its end, and cleared after it.
    expect(spansOf([alert(30, 60)], 10, 50).map(({ from, to }) => [from, to])).toEqual([[30, 50]]);
  });

  it("at the same time have different lanes, at most a few", () => {
    expect(spansOf([alert(10, 20), alert(15, 30), alert(20, 40)], 0, 50).map(({ lane }) => lane)).toEqual([0, 1, 0]);
    const many = spansOf(Array.from({ length: 9 }, (_, at) => alert(10 + at)), 0, 50);
    expect(Math.max(...many.map(({ lane }) => lane))).toBe(LANES_MAX - 1);
  });

  it("are the latest ones of many", () => {
    const many = spansOf(Array.from({ length: SPANS_MAX + 5 }, (_, at) => alert(1 + 2 * at, 2 + 2 * at)), 0, 1000);
    expect(many).toHaveLength(SPANS_MAX);
    expect(many[0].from).toBe(11);
  });
});
