// SPDX-License-Identifier: BSD-3-Clause
/** Cards of different heights without gaps between them. */
import { useEffect, useLayoutEffect } from "preact/hooks";

const ROW_PX = 4;
/** Cards that may be on screen at first. Further ones begin with an estimate, without a layout of their own. */
const FIRST = 24;
/** As in `contain-intrinsic-block-size`, with the padding, the border and the gap of a card. */
const HEAD_PX = 76 + 26 + 2 + 16;
const RESOURCE_PX = 47;

/** Rows of the grid for a card that the browser has not laid out. */
export const estimatedSpan = (resources: number): number => Math.ceil((HEAD_PX + RESOURCE_PX * resources) / ROW_PX);

type Place = { current: HTMLElement | null };

const observer = new ResizeObserver((entries) => fit(entries.map(({ target }) => target as HTMLElement)));

/** Read all heights before writing the first, so that the browser lays out once. */
function fit(elements: HTMLElement[]): void {
  const grid = elements[0]?.parentElement;
  if (!grid?.classList.contains("masonry")) return;
  const gap = parseFloat(getComputedStyle(grid).columnGap) || 0;
  const heights = elements.map((element) => element.offsetHeight);
  elements.forEach((element, index) => {
    const span = String(Math.ceil((heights[index] + gap) / ROW_PX));
    if (element.style.getPropertyValue("--span") !== span) element.style.setProperty("--span", span);
  });
}

/** A card that may change its height. */
export function useMasonry(ref: Place): void {
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    observer.observe(element);
    return () => observer.unobserve(element);
  }, []);
}

/** Fit the first cards of a grid before their first paint. */
export function useFirstFit(ref: Place, cards: number): void {
  const first = Math.min(cards, FIRST);
  useLayoutEffect(() => {
    if (ref.current) fit([...ref.current.children].slice(0, FIRST) as HTMLElement[]);
  }, [first]);
}
