// SPDX-License-Identifier: BSD-3-Clause
/** Natural order: `Node 2` before `Node 10`. The same in every browser language. */

import { plainTitle, type Named } from "./text";

const collator = new Intl.Collator("en", { numeric: true });

export function natural(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** By title; nodes of the same title by uid. */
export function byName(a: Named, b: Named): number {
  return natural(plainTitle(a), plainTitle(b)) || natural(a.uid, b.uid);
}

/** The latest first. Those of one minute, as boards that lost power together, by name. */
export function byLastSeen(a: LastSeen, b: LastSeen): number {
  return minute(b) - minute(a) || natural(a.label || a.uid, b.label || b.uid) || natural(a.uid, b.uid);
}

type LastSeen = { uid: string; label: string; lastSeen: number };

const minute = ({ lastSeen }: LastSeen) => Math.floor(lastSeen / 60);
