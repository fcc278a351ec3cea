// SPDX-License-Identifier: BSD-3-Clause
/** What a wall screen shows and for how long: `?kiosk=30&views=greenhouse,class-3b`. */

const DEFAULT_S = 30;
const LEAST_S = 5;
const MOST_S = 3600;
/** A page that is longer than this many screens is not scrolled to its end. */
const SCREENS_MAX = 20;

export interface Kiosk {
  /** Seconds for each view. */
  seconds: number;
  /** Ids of the views to show, in order; empty: all of them. */
  views: readonly string[];
}

/** Null without `kiosk` in the query of the URL. What is not a number of seconds is 30. */
export function parseKiosk(search: string): Kiosk | null {
  const values = new URLSearchParams(search);
  const text = values.get("kiosk");
  if (text === null) return null;
  const seconds = /^\d{1,9}$/.test(text) ? Math.min(MOST_S, Math.max(LEAST_S, Number(text))) : DEFAULT_S;
  return { seconds, views: (values.get("views") ?? "").split(",").filter(Boolean) };
}

/** The ids to show, of those that exist, which come in natural order. */
export const turnsOf = ({ views }: Kiosk, existing: readonly string[]): readonly string[] =>
  views.length ? views.filter((id) => existing.includes(id)) : existing;

/** The view after `current`; also when that was removed. Empty if there is none. */
export const nextTurn = (turns: readonly string[], current: string): string => turns[(turns.indexOf(current) + 1) % turns.length] ?? "";

/** How many screens a page is long: each is shown for an equal part of the time. */
export const screensOf = (height: number, window: number): number => Math.min(SCREENS_MAX, Math.max(1, Math.ceil((height - window * 0.1) / window)));
