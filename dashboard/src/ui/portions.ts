// SPDX-License-Identifier: BSD-3-Clause
/** A long list in portions, so that the page answers while its cards are made. */
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

const FIRST = 1;
/** What one portion may take, in ms. */
const PORTION_MS = 12;

/** How many come next, after `done` took `ms`. */
export const nextPortion = (done: number, ms: number): number => Math.max(1, Math.min(done * 2, Math.floor((done * PORTION_MS) / Math.max(ms, 1))));

/** The first items of `list`, and soon all of them; at once if it is `whole`. */
export function usePortions<T>(list: T[], whole: boolean): T[] {
  const limit = useSignal(FIRST);
  const portion = useRef(FIRST);
  const made = useRef(0);
  const begun = performance.now();
  const isAll = whole || limit.value >= list.length;
  // Before the frame: its length is not what the portion took.
  useLayoutEffect(() => {
    if (made.current < limit.value) portion.current = nextPortion(portion.current, performance.now() - begun);
    made.current = limit.value;
  });
  useEffect(() => {
    if (isAll) return;
    const timer = setTimeout(() => (limit.value += portion.current));
    return () => clearTimeout(timer);
  });
  return isAll ? list : list.slice(0, limit.value);
}
