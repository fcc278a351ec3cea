// SPDX-License-Identifier: BSD-3-Clause
/** Series of readings: steps, joining, gaps and CSV. */
import type { Ring } from "./model/ring";

export interface Series {
  times: number[];
  /** null: a gap. */
  values: (number | null)[];
}

/** Means of a history, each over `step` seconds from its time. It has the readings up to `until`. */
export interface Stored {
  step: number;
  until: number;
  times: number[];
  values: number[];
  counts: number[];
}

/** What a chart shows: the last `seconds`, or else `from` to `to`. `to` null: now. */
export interface Range {
  from: number;
  to: number | null;
  seconds: number;
}

/** Begin and end of a range, the second after the first. */
export function windowOf({ from, to, seconds }: Range, now: number): [number, number] {
  if (seconds) return [now - seconds, now];
  return [from, Math.max(to ?? now, from + 1)];
}

const POINTS_MAX = 1000;
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const STEPS = [1, 2, 5, 10, 15, 30, MINUTE, 120, 300, 600, 900, 1800, HOUR, 7200, 21_600, 43_200, DAY];

/** A round step that gives at most `POINTS_MAX` points. */
export function niceStep(seconds: number): number {
  const least = seconds / POINTS_MAX;
  return STEPS.find((step) => step >= least) ?? Math.ceil(least / DAY) * DAY;
}

/** The samples of a ring between two times. */
export function liveSeries(ring: Ring | null, from: number, to: number): Series {
  const series: Series = { times: [], values: [] };
  let before = -Infinity;
  for (let index = 0; ring && index < ring.length; index += 1) {
    const time = ring.time(index);
    if (time < from || time > to || time <= before) continue; // a chart needs increasing times
    before = time;
    const value = ring.value(index);
    series.times.push(time);
    series.values.push(Number.isNaN(value) ? null : value);
  }
  return series;
}

function mean(values: number[], weights?: number[]): number {
  const total = weights ? weights.reduce((sum, weight) => sum + weight, 0) : values.length;
  const sum = values.reduce((all, value, index) => all + value * (weights?.[index] ?? 1), 0);
  if (Number.isFinite(sum)) return sum / total;
  return values.reduce((all, value, index) => all + value * ((weights?.[index] ?? 1) / total), 0);
}

/** Means over `step` seconds, counted from the epoch as in the history. A step with gaps only is a gap. */
export function inSteps({ times, values }: Series, step: number): Series {
  const steps = new Map<number, number[]>();
  times.forEach((time, index) => {
    const start = Math.floor(time / step) * step;
    const its = steps.get(start) ?? [];
    steps.set(start, its);
    const value = values[index];
    if (value !== null) its.push(value);
  });
  const all = [...steps];
  return { times: all.map(([start]) => start), values: all.map(([, its]) => (its.length ? mean(its) : null)) };
}

/** Stored readings, then live ones in the same steps: a line has one resolution. */
export function joinSeries(stored: Stored | undefined, live: Series): Series {
  if (!stored?.times.length) return live;
  const { step, until, counts } = stored;
  const first = live.times.findIndex((time) => time > until);
  const later = first < 0 ? { times: [], values: [] } : { times: live.times.slice(first), values: live.values.slice(first) };
  const more = inSteps(later, step);
  const times = [...stored.times];
  const values: (number | null)[] = [...stored.values];
  const last = times.length - 1;
  more.times.forEach((start, index) => {
    const value = more.values[index];
    if (start > times[last]) {
      times.push(start);
      values.push(value);
    } else if (start === times[last] && value !== null) {
      // The step in which the history was read has readings in both.
      const here = later.times.filter((time, at) => time < start + step && later.values[at] !== null).length;
      values[last] = mean([stored.values[last], value], [counts[last], here]);
    }
  });
  return { times, values };
}

/** Silence longer than this many usual intervals, and longer than `GAP_S`, is a gap. */
const GAP_INTERVALS = 5;
const GAP_S = 60;

/** The same samples, with NaN where the node was silent for much longer than it usually is. */
export function withGaps(samples: readonly [time: number, value: number][]): [time: number, value: number][] {
  const steps = samples.slice(1).map(([time], index) => time - samples[index][0]);
  const usual = [...steps].sort((a, b) => a - b)[steps.length >> 1] ?? 0;
  const limit = Math.max(GAP_S, usual * GAP_INTERVALS);
  return samples.flatMap((sample, index) =>
    index && steps[index - 1] > limit ? [[samples[index - 1][0], NaN] as [number, number], sample] : [sample],
  );
}

/** As `withGaps`, for a chart: the gap has a time of its own. */
export function broken({ times, values }: Series): Series {
  const series: Series = { times: [], values: [] };
  for (const [time, value] of withGaps(times.map((at, index) => [at, values[index] ?? NaN]))) {
    const { times: here } = series;
    here.push(here.length && time <= here[here.length - 1] ? here[here.length - 1] + 0.001 : time);
    series.values.push(Number.isNaN(value) ? null : value);
  }
  return series;
}

/** The series as CSV. */
export function toCsv(uid: string, rows: { name: string; unit: string; series: Series }[]): string {
  const lines = ["time,uid,resource,value,unit"];
  for (const { name, unit, series } of rows)
    series.times.forEach((time, index) => {
      const value = series.values[index];
      if (value !== null)
        lines.push([new Date(time * 1000).toISOString(), quoted(uid), quoted(name), String(value), quoted(unit)].join(","));
    });
  return `${lines.join("\r\n")}\r\n`;
}

/** A spreadsheet must not treat a name of a device as a formula. */
function quoted(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
