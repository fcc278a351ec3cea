// SPDX-License-Identifier: BSD-3-Clause
/** Events and commands in one list, of two pages that may reach back to different times. */

interface Timed {
  ts: number;
}

export interface Part<T extends Timed> {
  /** The newest first. */
  rows: readonly T[];
  /** null: there are no earlier ones. */
  next: string | null;
}

/** All rows by time, the newest first, back to where both parts are complete. */
export function merged<A extends Timed, B extends Timed>(a: Part<A>, b: Part<B>): (A | B)[] {
  const reach = ({ rows, next }: Part<Timed>): number => (next === null ? -Infinity : (rows.at(-1)?.ts ?? Infinity));
  const complete = Math.max(reach(a), reach(b));
  return [...a.rows, ...b.rows].filter(({ ts }) => ts >= complete).sort((one, other) => other.ts - one.ts);
}

/** The part that has to be read on to see more. */
export function shorter(a: Part<Timed>, b: Part<Timed>): "a" | "b" | null {
  if (a.next === null && b.next === null) return null;
  if (a.next === null) return "b";
  if (b.next === null) return "a";
  return (a.rows.at(-1)?.ts ?? Infinity) >= (b.rows.at(-1)?.ts ?? Infinity) ? "a" : "b";
}
