// SPDX-License-Identifier: BSD-3-Clause
/**
 * Whether an element can be seen. Elements with `content-visibility: auto` are told so by the
 * browser, which knows it anyway; others, and other browsers, have one observer for all of them.
 */
import { useLayoutEffect } from "preact/hooks";
import type { Node } from "../model/state";
import { see } from "../store";

interface Seen {
  node: Node;
  seen: boolean;
}

const shows = new WeakMap<Element, Seen>();

function tell(target: Element, seen: boolean): void {
  const it = shows.get(target);
  if (!it || it.seen === seen) return;
  it.seen = seen;
  see(it.node, seen);
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) tell(target, isIntersecting);
  },
  { rootMargin: "250px" },
);

const listens = "ContentVisibilityAutoStateChangeEvent" in window;
const onChange = (event: Event): void => {
  tell(event.currentTarget as Element, !(event as Event & { skipped: boolean }).skipped);
};

/** The element shows the node: it is kept up to date while it can be seen. */
export function useSeen(ref: { current: HTMLElement | null }, node: Node): void {
  // Before the first picture: what is said with it is not missed.
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const it: Seen = { node, seen: false };
    shows.set(element, it);
    const skips = listens && getComputedStyle(element).contentVisibility === "auto";
    if (skips) element.addEventListener("contentvisibilityautostatechange", onChange);
    else observer.observe(element);
    return () => {
      if (skips) element.removeEventListener("contentvisibilityautostatechange", onChange);
      else observer.unobserve(element);
      if (it.seen) see(node, false);
    };
  }, [node]);
}
