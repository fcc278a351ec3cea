// SPDX-License-Identifier: BSD-3-Clause
/** Natural order: `Node 2` before `Node 10`. The same in every browser language. */

const collator = new Intl.Collator("en", { numeric: true });

export function natural(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** By name, or by uid without a name; nodes of the same name by uid. */
export function byName(a: { name: string; uid: string }, b: { name: string; uid: string }): number {
  return natural(a.name || a.uid, b.name || b.uid) || natural(a.uid, b.uid);
}
