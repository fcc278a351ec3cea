// SPDX-License-Identifier: BSD-3-Clause
/**
 * The full form of what is cut, on hover and on focus: `data-tip`, or the text of the element if
 * `data-tip` is empty and the element shows only a part of it.
 */

const LENGTH_MAX = 1000;
const MARGIN = 8;

function textOf(element: HTMLElement): string {
  const { tip = "" } = element.dataset;
  const isCut = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
  return (tip || (isCut && element.clientWidth ? (element.textContent ?? "") : "")).slice(0, LENGTH_MAX);
}

/** Show tips in `tip`, an element with the attribute `popover`. Returns how to stop. */
export function showTips(tip: HTMLElement): () => void {
  let shown: HTMLElement | null = null;
  const hide = () => {
    shown = null;
    if (tip.matches(":popover-open")) tip.hidePopover();
  };
  const show = (event: Event) => {
    const element = (event.target as Element | null)?.closest?.<HTMLElement>("[data-tip]");
    const text = element ? textOf(element) : "";
    hide();
    if (!element || !text) return;
    shown = element;
    tip.textContent = text;
    tip.showPopover();
    place();
  };
  const place = () => {
    if (!shown) return;
    const { left, top, bottom } = shown.getBoundingClientRect();
    if (bottom < 0 || top > innerHeight) return hide();
    const { offsetWidth: width, offsetHeight: height } = tip;
    const below = bottom + MARGIN + height <= innerHeight;
    tip.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`;
    tip.style.top = `${Math.max(MARGIN, below ? bottom + 4 : top - height - 4)}px`;
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "Escape") hide();
  };
  const listeners: [string, (event: never) => void][] = [["pointerover", show], ["focusin", show], ["focusout", hide], ["scroll", place], ["keydown", key]];
  if (!("popover" in tip)) return () => undefined; // an older browser: the text stays cut
  for (const [name, listener] of listeners) addEventListener(name, listener as EventListener, true);
  return () => {
    for (const [name, listener] of listeners) removeEventListener(name, listener as EventListener, true);
  };
}
