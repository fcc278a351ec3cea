// SPDX-License-Identifier: BSD-3-Clause
/** Whether an element can be seen; one observer for all of them. */
import { useEffect } from "preact/hooks";
import type { Node } from "../model/state";
import { see } from "../store";

const shows = new WeakMap<Element, { node: Node; seen: boolean }>();

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const it = shows.get(target);
      if (!it || it.seen === isIntersecting) continue;
      it.seen = isIntersecting;
      see(it.node, isIntersecting);
    }
  },
  { rootMargin: "250px" },
);

/** The element shows the node: it is kept up to date while it can be seen. */
export function useSeen(ref: { current: HTMLElement | null }, node: Node): void {
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const it = { node, seen: false };
    shows.set(element, it);
    observer.observe(element);
    return () => {
      observer.unobserve(element);
      if (it.seen) see(node, false);
    };
  }, [node]);
}
