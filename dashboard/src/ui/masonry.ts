// SPDX-License-Identifier: BSD-3-Clause
/** Cards of different heights without gaps between them. */
import { useEffect, useLayoutEffect } from "preact/hooks";

const ROW_PX = 4;

type Place = { current: HTMLElement | null };

const observer = new ResizeObserver((entries) => fit(entries.map(({ target }) => target as HTMLElement)));

/** Read all heights before writing the first, so that the browser lays out once. */
function fit(elements: HTMLElement[]): void {
  const grid = elements[0]?.parentElement;
  if (!grid?.classList.contains("masonry")) return;
  const gap = parseFloat(getComputedStyle(grid).columnGap) || 0;
  const heights = elements.map((element) => element.offsetHeight);
  elements.forEach((element, index) => {
    element.style.setProperty("--span", String(Math.ceil((heights[index] + gap) / ROW_PX)));
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

/** Fit all cards of a grid before the first paint. */
export function useFirstFit(ref: Place, cards: number): void {
  useLayoutEffect(() => {
    if (ref.current) fit([...ref.current.children] as HTMLElement[]);
  }, [cards]);
}
