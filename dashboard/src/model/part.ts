// SPDX-License-Identifier: BSD-3-Clause
/** Of which nodes a page asks for the readings. */

/** Nodes that were on screen and are kept, so that scrolling back and forth asks for nothing. */
const SPARE = 300;
/** The broker refuses a list of more. */
const UIDS_MAX = 2000;

/**
 * The nodes to ask for next; at rest, only what is shown. `before` null: everything is sent now. Returns `before` if it will do,
 * and null for everything.
 */
export function nextPart(before: ReadonlySet<string> | null, shown: readonly string[], all: boolean, isAtRest = false): ReadonlySet<string> | null {
  if (all || shown.length > UIDS_MAX) return null;
  if (isAtRest && before && before.size > shown.length) before = null;
  if (before && shown.every((uid) => before.has(uid)) && before.size <= shown.length + 2 * SPARE) return before;
  const now = new Set(shown);
  const spare = [...(before ?? [])].filter((uid) => !now.has(uid)).slice(-Math.min(SPARE, UIDS_MAX - now.size));
  return new Set(now.size < UIDS_MAX ? [...spare, ...now] : now);
}
