// SPDX-License-Identifier: BSD-3-Clause
/** One curve of a chart: means with a band from minimum to maximum, in one resolution. */
import type { Ring } from "./ring";

export interface Curve {
  times: number[];
  /** null: a gap. */
  values: (number | null)[];
  lows: (number | null)[];
  highs: (number | null)[];
  /** Readings in each value. */
  counts: number[];
  /** The last reading of each value. */
  lasts: (number | null)[];
}

/** Steps of a history, each of `step` seconds from its time. It has the readings up to `until`. */
export interface Stored extends Curve {
  step: number;
  until: number;
}

export const emptyCurve = (): Curve => ({ times: [], values: [], lows: [], highs: [], counts: [], lasts: [] });

function add(curve: Curve, time: number, value: number | null, low = value, high = value, count = 1, last = value): void {
  curve.times.push(time);
  curve.values.push(value);
  curve.lows.push(low);
  curve.highs.push(high);
  curve.counts.push(count);
  curve.lasts.push(last);
}

/** The samples of a ring between two times, each a point. */
export function liveCurve(ring: Ring | null, from: number, to: number): Curve {
  const curve = emptyCurve();
  let before = -Infinity;
  for (let index = 0; ring && index < ring.length; index += 1) {
    const time = ring.time(index);
    if (time < from || time > to || time <= before) continue; // a chart needs increasing times
    before = time;
    const value = ring.value(index);
    add(curve, time, Number.isNaN(value) ? null : value);
  }
  return curve;
}

/** Samples as a curve; those that are not later than the one before are left out. */
export function curveOf(samples: readonly (readonly [time: number, value: number])[]): Curve {
  const curve = emptyCurve();
  for (const [time, value] of samples) if (time > (curve.times.at(-1) ?? -Infinity)) add(curve, time, value);
  return curve;
}

/** The mean without an overflow of the sum. */
const mixed = (a: number, b: number, share: number): number => a * (1 - share) + b * share;

/** In steps of `step` seconds, counted from the epoch as in the history. A step of gaps only is a gap. */
export function inSteps(curve: Curve, step: number): Curve {
  const result = emptyCurve();
  curve.times.forEach((time, index) => {
    const start = Math.floor(time / step) * step;
    const last = result.times.length - 1;
    if (result.times[last] === start) merge(result, last, curve, index);
    else take(result, start, curve, index);
  });
  return result;
}

/** Add a point of another curve, at a time. */
const take = (curve: Curve, time: number, other: Curve, index: number): void =>
  add(curve, time, other.values[index], other.lows[index], other.highs[index], other.counts[index], other.lasts[index]);

/** Take a later point of another curve into one of this. */
function merge(curve: Curve, at: number, other: Curve, index: number): void {
  const [value, low, high] = [other.values[index], other.lows[index], other.highs[index]];
  if (value === null || low === null || high === null) return;
  curve.lasts[at] = other.lasts[index];
  const [mine, least, most] = [curve.values[at], curve.lows[at], curve.highs[at]];
  if (mine === null || least === null || most === null) {
    [curve.values[at], curve.lows[at], curve.highs[at], curve.counts[at]] = [value, low, high, other.counts[index]];
    return;
  }
  const count = curve.counts[at] + other.counts[index];
  curve.values[at] = mixed(mine, value, other.counts[index] / count);
  curve.lows[at] = Math.min(least, low);
  curve.highs[at] = Math.max(most, high);
  curve.counts[at] = count;
}

/** Stored steps, then live readings in the same steps: a curve has one resolution. */
export function joined(stored: Stored | undefined, live: Curve): Curve {
  if (!stored?.times.length) return live;
  const { step, until } = stored;
  const result: Curve = {
    times: [...stored.times],
    values: [...stored.values],
    lows: [...stored.lows],
    highs: [...stored.highs],
    counts: [...stored.counts],
    lasts: [...stored.lasts],
  };
  const first = live.times.findIndex((time) => time > until);
  if (first < 0) return result;
  const later = inSteps(sliced(live, first), step);
  later.times.forEach((start, index) => {
    const last = result.times.length - 1;
    if (start > result.times[last]) take(result, start, later, index);
    // The step in which the history was read has readings in both.
    else if (start === result.times[last]) merge(result, last, later, index);
  });
  return result;
}

const sliced = ({ times, values, lows, highs, counts, lasts }: Curve, first: number): Curve => ({
  times: times.slice(first),
  values: values.slice(first),
  lows: lows.slice(first),
  highs: highs.slice(first),
  counts: counts.slice(first),
  lasts: lasts.slice(first),
});

/** Silence longer than this many usual intervals, and longer than `GAP_S`, is a gap. */
const GAP_INTERVALS = 5;
const GAP_S = 60;

/** The usual interval between the times of a curve, and from which one on it is a gap. */
export function gapAfter(times: readonly number[]): number {
  const steps = times.slice(1).map((time, index) => time - times[index]);
  const usual = steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0;
  return Math.max(GAP_S, usual * GAP_INTERVALS);
}

/** The curve with a gap where there were no readings for much longer than usual. */
export function withGaps(curve: Curve): Curve {
  const limit = gapAfter(curve.times);
  const result = emptyCurve();
  curve.times.forEach((time, index) => {
    const before = curve.times[index - 1];
    if (index && time - before > limit) add(result, before + 0.001, null, null, null, 0);
    take(result, time, curve, index);
  });
  return result;
}

export interface Summary {
  last: number | null;
  low: number;
  mean: number;
  high: number;
}

/** What the curve was between two times; null without any value. */
export function summary(curve: Curve, from: number, to: number): Summary | null {
  let [low, high, mean, total] = [Infinity, -Infinity, 0, 0];
  let last: number | null = null;
  curve.times.forEach((time, index) => {
    const value = curve.values[index];
    if (value === null || time < from || time > to) return;
    low = Math.min(low, curve.lows[index] ?? value);
    high = Math.max(high, curve.highs[index] ?? value);
    total += curve.counts[index];
    mean = mixed(mean, value, curve.counts[index] / total);
    last = curve.lasts[index];
  });
  return total ? { last, low, mean, high } : null;
}

/** Several curves on the times of all of them, for a chart; null where a curve has no point. */
export function aligned(curves: readonly Curve[]): { times: number[]; columns: (number | null | undefined)[][] } {
  const times = [...new Set(curves.flatMap((curve) => curve.times))].sort((a, b) => a - b);
  const places = new Map(times.map((time, index) => [time, index]));
  const columns = curves.flatMap((curve) =>
    [curve.values, curve.lows, curve.highs].map((values) => {
      // undefined: no point here, and no gap either.
      const column = new Array<number | null | undefined>(times.length).fill(undefined);
      curve.times.forEach((time, index) => (column[places.get(time) ?? 0] = values[index]));
      spread(column);
      spread(column.reverse());
      return column.reverse();
    }),
  );
  return { times, columns };
}

/** A gap reaches over the times of other curves, to the next point. */
function spread(column: (number | null | undefined)[]): void {
  let isGap = false;
  column.forEach((value, index) => {
    if (value === undefined) {
      if (isGap) column[index] = null;
    } else isGap = value === null;
  });
}

/** A curve of a resource, for a file. */
export interface Row {
  uid: string;
  name: string;
  unit: string;
  curve: Curve;
}

/** The curves as CSV: all digits, and the band if there is one. */
export function toCsv(rows: readonly Row[]): string {
  const lines = ["time,uid,resource,value,unit,min,max"];
  for (const { uid, name, unit, curve } of rows)
    curve.times.forEach((time, index) => {
      const value = curve.values[index];
      if (value === null) return;
      const band = curve.counts[index] > 1 ? [String(curve.lows[index]), String(curve.highs[index])] : ["", ""];
      lines.push([new Date(time * 1000).toISOString(), quoted(uid), quoted(name), String(value), quoted(unit), ...band].join(","));
    });
  return `${lines.join("\r\n")}\r\n`;
}

/** A spreadsheet must not treat a name of a device as a formula. */
function quoted(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
