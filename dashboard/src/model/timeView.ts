// SPDX-License-Identifier: BSD-3-Clause
/** The span of time that linked charts show, and how it is zoomed and moved. Times in Unix seconds. */

export interface View {
  from: number;
  to: number;
  /** Seconds of a span that ends now and moves with the time; 0: `from` and `to` are fixed. */
  seconds: number;
}

export const MINUTE = 60;
export const HOUR = 3600;
export const DAY = 86_400;
/** Spans to choose from, in seconds. */
export const SPANS = [600, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY] as const;
/** The shortest and the longest span of a view. */
export const SPAN_MIN = 5;
export const SPAN_MAX = 400 * DAY;

const UNITS: Record<string, number> = { m: 60, h: HOUR, d: DAY };
/** The range of a saved view, such as `24h`, in seconds; 0: it has none, or not one that charts have. */
export function rangeSeconds(text: string): number {
  const [, digits = "0", unit = "m"] = /^(\d+)([mhd])$/.exec(text) ?? [];
  const seconds = Number(digits) * UNITS[unit];
  return (SPANS as readonly number[]).includes(seconds) ? seconds : 0;
}
/** A span of charts as a saved view has it. */
export const rangeText = (span: number): string => (span > DAY ? `${span / DAY}d` : span < HOUR ? `${span / 60}m` : `${span / HOUR}h`);

export const lastSeconds = (seconds: number, now: number): View => ({ from: now - seconds, to: now, seconds });

/** A fixed span. It ends now at the latest, and has a valid length. */
export function between(a: number, b: number, now: number): View {
  const to = Math.min(Math.max(a, b), now);
  const length = Math.min(SPAN_MAX, Math.max(SPAN_MIN, to - Math.min(a, b)));
  return { from: to - length, to, seconds: 0 };
}

/** The view as it is now: one that moves with the time has moved. */
export const viewAt = (view: View, now: number): View => (view.seconds ? lastSeconds(view.seconds, now) : view);

/** A span `factor` times as long, in which `centre` stays where it is. */
export function zoomed(view: View, centre: number, factor: number, now: number): View {
  const { from, to } = viewAt(view, now);
  const length = to - from;
  const next = Math.min(SPAN_MAX, Math.max(SPAN_MIN, length * factor));
  const share = Math.min(1, Math.max(0, (centre - from) / length));
  const end = centre + next * (1 - share);
  return between(Math.min(end, now) - next, end, now);
}

/** The span moved by a share of its length: negative is earlier. */
export function moved(view: View, share: number, now: number): View {
  const { from, to } = viewAt(view, now);
  const by = Math.min((to - from) * share, now - to);
  return between(from + by, to + by, now);
}

const POINTS_MAX = 1000;
const STEPS = [1, 2, 5, 10, 15, 30, MINUTE, 120, 300, 600, 900, 1800, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY];

/** A round step that gives at most `POINTS_MAX` points. */
export function niceStep(seconds: number): number {
  const least = seconds / POINTS_MAX;
  return STEPS.find((step) => step >= least) ?? Math.ceil(least / DAY) * DAY;
}
