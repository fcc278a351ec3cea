// SPDX-License-Identifier: BSD-3-Clause
/** Series of readings: joining, gaps and CSV. */
import type { Resource } from "./model/state";

export interface Series {
  times: number[];
  /** null: a gap. */
  values: (number | null)[];
}

/** The readings that this page received between two times. */
export function liveSeries({ ring }: Resource, from: number, to: number): Series {
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

/** Stored readings up to the first live one, then the live ones. */
export function joinSeries(stored: Series | undefined, live: Series): Series {
  if (!stored?.times.length) return live;
  const first = live.times[0] ?? Infinity;
  const until = stored.times.findIndex((time) => time >= first);
  const end = until < 0 ? stored.times.length : until;
  return {
    times: [...stored.times.slice(0, end), ...live.times],
    values: [...stored.values.slice(0, end), ...live.values],
  };
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
