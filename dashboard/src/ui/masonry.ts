// SPDX-License-Identifier: BSD-3-Clause
/** Cards of different heights without holes between them. */
import { useEffect } from "preact/hooks";

/** With more cards than this the grid is plain: their heights are not known before they are seen. */
export const MASONRY_MAX = 80;
const ROW_PX = 4;

const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const element = target as HTMLElement;
    const grid = element.parentElement;
    if (!grid?.classList.contains("masonry")) continue;
    const gap = parseFloat(getComputedStyle(grid).columnGap) || 0;
    element.style.setProperty("--span", String(Math.ceil((element.offsetHeight + gap) / ROW_PX)));
  }
});

export function useMasonry(ref: { current: HTMLElement | null }): void {
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    observer.observe(element);
    return () => observer.unobserve(element);
  }, []);
}
