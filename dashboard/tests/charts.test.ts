// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { aligned, curveOf, emptyCurve, inSteps, joined, liveCurve, summary, toCsv, withGaps, type Stored } from "../src/model/curves";
import { merged, shorter } from "../src/model/happened";
import { Ring } from "../src/model/ring";
import { absencesOf, fitted, hueOf, segmentAt, segmentsOf } from "../src/model/segments";
import { between, DAY, HOUR, lastSeconds, moved, niceStep, SPAN_MAX, SPAN_MIN, SPANS, viewAt, zoomed } from "../src/model/timeView";

const NOW = 1_760_000_000;

describe("view", () => {
  it("a span that ends now moves with the time, a fixed one does not", () => {
    expect(viewAt(lastSeconds(HOUR, NOW), NOW + 5)).toEqual({ from: NOW + 5 - HOUR, to: NOW + 5, seconds: HOUR });
    const fixed = between(NOW - 100, NOW - 50, NOW);
    expect(viewAt(fixed, NOW + 5)).toEqual({ from: NOW - 100, to: NOW - 50, seconds: 0 });
  });

  it("the time under the pointer stays where it is", () => {
    const centre = NOW - 1000;
    const { from, to } = zoomed(lastSeconds(HOUR, NOW), centre, 0.5, NOW);
    expect(to - from).toBeCloseTo(HOUR / 2);
    expect((centre - from) / (to - from)).toBeCloseTo((centre - (NOW - HOUR)) / HOUR);
  });

  it("no view ends after now, or is shorter or longer than its limits", () => {
    for (const factor of [0, 1e-9, 0.5, 2, 1e9])
      for (const centre of [NOW - DAY, NOW - 1, NOW, NOW + 9]) {
        const { from, to } = zoomed(lastSeconds(DAY, NOW), centre, factor, NOW);
        expect(to).toBeLessThanOrEqual(NOW);
        expect(to - from).toBeGreaterThanOrEqual(SPAN_MIN - 1e-6);
        expect(to - from).toBeLessThanOrEqual(SPAN_MAX + 1e-6);
      }
    expect(moved(lastSeconds(HOUR, NOW), 0.5, NOW).to).toBe(NOW);
    expect(moved(lastSeconds(HOUR, NOW), -0.5, NOW)).toEqual({ from: NOW - 1.5 * HOUR, to: NOW - HOUR / 2, seconds: 0 });
    expect(between(NOW, NOW - 100, NOW)).toEqual(between(NOW - 100, NOW, NOW));
  });

  it("every span has at most a thousand points", () => {
    for (const seconds of [1, ...SPANS, SPAN_MAX]) {
      expect(seconds / niceStep(seconds)).toBeLessThanOrEqual(1000);
      expect(niceStep(seconds) % 1).toBe(0);
    }
    expect(niceStep(DAY)).toBe(120);
  });
});

const stored = (step: number, until: number, rows: [time: number, mean: number, low: number, high: number, count: number, last?: number][]): Stored => ({
  step,
  until,
  times: rows.map(([time]) => time),
  values: rows.map(([, value]) => value),
  lows: rows.map(([, , low]) => low),
  highs: rows.map(([, , , high]) => high),
  counts: rows.map(([, , , , count]) => count),
  lasts: rows.map(([, value, , , , last = value]) => last),
});

describe("curves", () => {
  it("live readings after a history are in its steps, with their band", () => {
    const ring = new Ring(10);
    for (const [time, value] of [[115, 9], [125, 4], [130, 8], [190, 6]]) ring.push(time, value);
    const curve = joined(stored(60, 120, [[60, 2, 1, 3, 4], [120, 3, 3, 3, 1]]), liveCurve(ring, 0, 999));
    expect(curve.times).toEqual([60, 120, 180]);
    expect(curve.values).toEqual([2, 5, 6]);
    expect(curve.lows).toEqual([1, 3, 6]);
    expect(curve.highs).toEqual([3, 8, 6]);
    expect(curve.counts).toEqual([4, 3, 1]);
  });

  it("without a history, every reading is a point", () => {
    const ring = new Ring(4);
    ring.push(1, 5);
    ring.gap(2);
    ring.push(3, 6);
    expect(joined(undefined, liveCurve(ring, 0, 9)).values).toEqual([5, null, 6]);
  });

  it("a step with a gap and a reading is no gap", () => {
    const curve = inSteps({ times: [60, 61, 120], values: [null, 4, null], lows: [null, 4, null], highs: [null, 4, null], counts: [1, 1, 1], lasts: [null, 4, null] }, 60);
    expect(curve.values).toEqual([4, null]);
  });

  it("the mean of opposite huge readings is a number", () => {
    expect(inSteps(curveOf([[0, 1.5e308], [1, -1.5e308]]), 60).values).toEqual([0]);
  });

  it("silence is a gap", () => {
    const curve = withGaps(curveOf([[0, 1], [10, 1], [20, 1], [400, 1], [410, 1]]));
    expect(curve.values).toEqual([1, 1, 1, null, 1, 1]);
    expect(curve.times[3]).toBeGreaterThan(20);
  });

  it("a summary has the extremes of the band, and a mean by the number of readings", () => {
    const curve = stored(60, 0, [[0, 10, 5, 20, 9], [60, 20, 20, 20, 1], [120, 99, 99, 99, 1]]);
    expect(summary(curve, 0, 60)).toEqual({ last: 20, low: 5, mean: 11, high: 20 });
    expect(summary(curve, 500, 600)).toBeNull();
    const huge = curveOf([[0, Number.MAX_VALUE], [1, Number.MAX_VALUE]]);
    expect(summary(huge, 0, 9)?.mean).toBe(Number.MAX_VALUE);
  });

  it("the last value of a summary is a reading, not the mean of its step", () => {
    const curve = stored(60, 130, [[60, 2, 1, 3, 4], [120, 25.46, 25, 25.9, 9, 25.6]]);
    expect(summary(withGaps(curve), 0, 999)?.last).toBe(25.6);
    const ring = new Ring(10);
    for (const [time, value] of [[125, 1], [140, 9], [150, 4]]) ring.push(time, value);
    expect(summary(joined(curve, liveCurve(ring, 0, 999)), 0, 999)?.last).toBe(4);
    expect(summary(joined(curve, liveCurve(ring, 0, 130)), 0, 999)?.last).toBe(25.6);
    expect(summary(inSteps(liveCurve(ring, 0, 999), 60), 0, 999)).toMatchObject({ last: 4, low: 1, high: 9 });
  });

  it("curves with other times share one axis", () => {
    const { times, columns } = aligned([curveOf([[1, 5], [3, 6]]), curveOf([[2, 7]])]);
    expect(times).toEqual([1, 2, 3]);
    expect(columns[0]).toEqual([5, undefined, 6]);
    expect(columns[3]).toEqual([undefined, 7, undefined]);
    expect(aligned([emptyCurve()]).times).toEqual([]);
  });

  it("a gap of one curve reaches over the times of another", () => {
    const one = withGaps(curveOf([[0, 1], [10, 1], [20, 1], [400, 1], [410, 1]]));
    const { times, columns } = aligned([one, curveOf([[5, 7], [100, 7], [200, 7], [405, 7]])]);
    const inside = columns[0].filter((_, index) => times[index] > 20 && times[index] < 400);
    expect(inside).toEqual([null, null, null]);
    expect(columns[0][times.indexOf(5)]).toBeUndefined();
    expect(columns[3][times.indexOf(400)]).toBeUndefined();
  });

  it("a file has all digits, the band of means, and no formulas", () => {
    const curve = stored(60, 0, [[0, 0.1 + 0.2, 0.1, 0.5, 3], [60, 1, 1, 1, 1]]);
    const lines = toCsv([{ uid: "=1", name: 'a"b', unit: "°C", curve }]).split("\r\n");
    expect(lines[1]).toBe(`1970-01-01T00:00:00.000Z,'=1,"a""b",0.30000000000000004,°C,0.1,0.5`);
    expect(lines[2]).toBe(`1970-01-01T00:01:00.000Z,'=1,"a""b",1,°C,,`);
  });
});

describe("segments", () => {
  const samples = [
    { ts: 5, text: "0" },
    { ts: 20, text: "1" },
    { ts: 30, text: "1" },
    { ts: 40, text: "0" },
  ];

  it("equal values are one span, and the value before the view goes on in it", () => {
    expect(segmentsOf(samples, [], 10, 60).map(({ from, to, text }) => [from, to, text])).toEqual([
      [10, 20, "0"],
      [20, 40, "1"],
      [40, 60, "0"],
    ]);
  });

  it("before the first value, and while the node was offline, the state is unknown", () => {
    expect(segmentsOf(samples, [{ from: 22, to: 25 }, { from: 50, to: 99 }], 0, 60).map(({ from, to, text }) => [from, to, text])).toEqual([
      [0, 5, null],
      [5, 20, "0"],
      [20, 22, "1"],
      [22, 25, null],
      [25, 40, "1"],
      [40, 50, "0"],
      [50, 60, null],
    ]);
    expect(segmentsOf([], [], 0, 9)).toEqual([{ from: 0, to: 9, text: null, changes: 0 }]);
  });

  it("a node is offline from when it left until it appeared", () => {
    const events = [
      { ts: 5, kind: "appeared" },
      { ts: 10, kind: "left" },
      { ts: 12, kind: "left" },
      { ts: 20, kind: "appeared" },
      { ts: 30, kind: "left" },
    ];
    expect(absencesOf(events, true, 0)).toEqual([{ from: 0, to: 5 }, { from: 10, to: 20 }, { from: 30, to: Infinity }]);
    expect(absencesOf([], false, 0)).toEqual([]);
  });

  it("changes that cannot be seen are counted", () => {
    const many = Array.from({ length: 1000 }, (_, index) => ({ ts: index, text: String(index % 2) }));
    const fit = fitted(segmentsOf([...many, { ts: 1000, text: "1" }], [], 0, 2000), 100);
    expect(fit.length).toBeLessThanOrEqual(100);
    expect(fit.reduce((sum, { changes }) => sum + changes, 0)).toBe(999);
    expect(fit.at(-1)).toEqual({ from: 999, to: 2000, text: "1", changes: 0 });
    expect(segmentAt(fit, 1500)?.text).toBe("1");
    expect(segmentAt(fit, 2000)).toBeUndefined();
  });

  it("a value keeps its colour", () => {
    expect(hueOf("idle", 6)).toBe(hueOf("idle", 6));
    expect(hueOf("🙂", 6)).toBeLessThan(6);
  });
});

describe("what happened", () => {
  const at = (...times: number[]) => times.map((ts) => ({ ts }));

  it("is complete back to where both pages reach", () => {
    const events = { rows: at(9, 5), next: "more" };
    const commands = { rows: at(8, 4, 1), next: null };
    expect(merged(events, commands)).toEqual(at(9, 8, 5));
    expect(shorter(events, commands)).toBe("a");
    expect(merged({ ...events, next: null }, commands)).toEqual(at(9, 8, 5, 4, 1));
    expect(shorter({ ...events, next: null }, commands)).toBeNull();
    expect(shorter(events, { rows: at(8, 7), next: "more" })).toBe("b");
  });
});
