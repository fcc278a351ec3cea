// SPDX-License-Identifier: BSD-3-Clause
/** When the alerts of a node were active, for a strip and for marks in charts. */
import type { Alert } from "../alerts";

/** Further ones would hide the values; the latest ones are shown. */
export const SPANS_MAX = 60;
/** Rows of the strip for alerts at the same time; further ones are in the last row. */
export const LANES_MAX = 4;

export interface AlertSpan {
  alert: Alert;
  /** Unix times of the part that is shown. */
  from: number;
  to: number;
  lane: number;
}

/** The alerts of a node. */
export const alertsOf = (all: readonly Alert[], uid: string): Alert[] => all.filter((it) => it.uid === uid && (it.raised ?? 0) > 0);

/** Those of a resource, and those that are about the node itself; with an empty name, all. */
export const concerning = (all: readonly Alert[], name: string): Alert[] => all.filter(({ resource }) => !name || !resource || resource === name);

/** Those that were active between two times, the earliest first; alerts at the same time are in different lanes. */
export function spansOf(all: readonly Alert[], from: number, to: number): AlertSpan[] {
  const shown = all
    .filter(({ raised = 0, cleared }) => raised <= to && (!cleared || cleared >= from))
    .sort((a, b) => (a.raised ?? 0) - (b.raised ?? 0))
    .slice(-SPANS_MAX);
  const ends: number[] = [];
  return shown.map((alert) => {
    const [start, end] = [Math.max(alert.raised ?? 0, from), Math.min(alert.cleared || to, to)];
    const free = ends.findIndex((time) => time <= start);
    const lane = free >= 0 ? free : Math.min(ends.length, LANES_MAX - 1);
    ends[lane] = Math.max(ends[lane] ?? 0, end);
    return { alert, from: start, to: end, lane };
  });
}

/** The times at which something begins or ends in a view, in order. */
export const edgesOf = (spans: readonly AlertSpan[]): number[] => [...new Set(spans.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
