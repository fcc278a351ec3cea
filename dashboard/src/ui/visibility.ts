// SPDX-License-Identifier: BSD-3-Clause
/**
 * Whether an element is visible on screen. For elements with `content-visibility: auto` the browser
 * reports it by an event, at no extra cost; others, and other browsers, share one observer.
 */
import { useLayoutEffect } from "preact/hooks";
import type { Node } from "../model/state";
import { setVisible } from "../store";

interface Shown {
  node: Node;
  visible: boolean;
}

const shownBy = new WeakMap<Element, Shown>();

function update(target: Element, visible: boolean): void {
  const shown = shownBy.get(target);
  if (!shown || shown.visible === visible) return;
  shown.visible = visible;
  setVisible(shown.node, visible);
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) update(target, isIntersecting);
  },
  { rootMargin: "250px" },
);

const hasEvent = "ContentVisibilityAutoStateChangeEvent" in window;
const onChange = (event: Event): void => {
  update(event.currentTarget as Element, !(event as Event & { skipped: boolean }).skipped);
};

/** The element shows the node: the node is kept up to date while the element is visible. */
export function useVisibility(ref: { current: HTMLElement | null }, node: Node): void {
  // Before the first paint: the browser reports the state once with it.
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const shown: Shown = { node, visible: false };
    shownBy.set(element, shown);
    const byEvent = hasEvent && getComputedStyle(element).contentVisibility === "auto";
    if (byEvent) element.addEventListener("contentvisibilityautostatechange", onChange);
    else observer.observe(element);
    return () => {
      if (byEvent) element.removeEventListener("contentvisibilityautostatechange", onChange);
      else observer.unobserve(element);
      if (shown.visible) setVisible(node, false);
    };
  }, [node]);
}
