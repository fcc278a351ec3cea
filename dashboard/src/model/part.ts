// SPDX-License-Identifier: BSD-3-Clause
/** The nodes and resources whose readings a page subscribes to. */

/** Nodes that were on screen and stay subscribed, so that scrolling back and forth sends no request. */
const SPARE = 300;
/** The broker refuses a list of more. */
const UIDS_MAX = 2000;
/** Resources of one filter: the broker takes 256 in all. Beyond it, everything is sent. */
export const NAMES_MAX = 200;

/**
 * The nodes to subscribe to next; at rest, only what is shown. `before` null: everything is sent now. Returns `before` if it will do,
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

/** The resources whose names begin with one of these prefixes; null: too many. The prefixes are in lower case. */
export function namesWith(prefixes: readonly string[], known: Iterable<string>): string[] | null {
  const names = new Set(prefixes.filter((prefix) => /^[\w.-]{1,64}$/.test(prefix))); // those that appear later, too
  for (const name of known) {
    const lower = name.toLowerCase();
    if (prefixes.some((prefix) => lower.startsWith(prefix))) names.add(name);
  }
  return names.size > NAMES_MAX ? null : [...names];
}
