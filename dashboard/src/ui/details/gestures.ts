// SPDX-License-Identifier: BSD-3-Clause
/** What fingers, the wheel and the pointer do on a strip. */
import { useEffect } from "preact/hooks";
import { isMove, listenToTouch, onWheel, type Shared } from "./context";

/** Listeners of a strip that shows the times from `from` to `to`; those of the wheel and of fingers are added to `bar`. */
export function useGestures(bar: { current: HTMLElement | null }, shared: Shared, from: number, to: number) {
  const { cursor } = shared;
  useEffect(() => {
    const element = bar.current;
    if (!element) return;
    const stop = listenToTouch(element, shared);
    const wheel = (event: WheelEvent) => onWheel(shared, event, element.getBoundingClientRect());
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      stop();
      element.removeEventListener("wheel", wheel);
    };
  }, []);
  const clear = () => {
    shared.byKey = false;
    cursor.value = null;
  };
  return {
    onMouseMove(event: MouseEvent) {
      if (!isMove(shared, event)) return;
      const box = bar.current?.getBoundingClientRect();
      if (box) cursor.value = from + ((event.clientX - box.left) / box.width) * (to - from);
    },
    onMouseLeave: () => shared.byKey || clear(),
    onBlur: clear,
    onDblClick: shared.reset,
  };
}
