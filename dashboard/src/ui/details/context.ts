// SPDX-License-Identifier: BSD-3-Clause
/** What the charts of one node share: the view, the crosshair, and what they drew, for files. */
import type { Signal } from "@preact/signals";
import type { Row } from "../../model/curves";
import { between, moved, viewAt, zoomed, type View } from "../../model/timeView";
import { clock, state } from "../../store";

/** Unix time of the broker; in the past, the time that the page shows. */
export const brokerTime = (): number => clock() + state.offset;

/** One drawn part, for CSV and PNG. */
export interface Drawing {
  title: string;
  /** For CSV. */
  rows: () => Row[];
  /** Draw it; returns the height used. */
  paint: (context: CanvasRenderingContext2D, width: number, top: number) => number;
}

export interface Shared {
  view: Signal<View>;
  /** The time under the crosshair, on all charts; null: none. */
  cursor: Signal<number | null>;
  /** Whether a key set it: a pointer that rests does not set it again, until it moves. */
  byKey: boolean;
  /** Counts the moments at which to draw again. */
  pulse: Signal<number>;
  /** Show the span that was chosen last again. */
  reset: () => void;
  drawings: Map<string, Drawing>;
}

/** The part of a pixel range that is a view's. */
export interface Place {
  left: number;
  width: number;
}

const WHEEL_FACTOR = 1.0015;
const KEY_FACTOR = 1.5;
const KEY_SHARE = 0.25;

/** The wheel with Ctrl (and a pinch on a touchpad) zooms, with Shift or sideways it moves. Else the page scrolls. */
export function onWheel({ view }: Shared, event: WheelEvent, { left, width }: Place): void {
  const now = brokerTime();
  const { from, to } = viewAt(view.peek(), now);
  if (event.ctrlKey || event.metaKey) {
    const centre = from + ((event.clientX - left) / width) * (to - from);
    view.value = zoomed(view.peek(), centre, WHEEL_FACTOR ** Math.max(-400, Math.min(400, event.deltaY)), now);
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    view.value = moved(view.peek(), (event.deltaX || event.deltaY) / width, now);
  } else return;
  event.preventDefault();
}

/** Two fingers zoom, one moves sideways. Returns what ends listening. */
export function listenToTouch(element: HTMLElement, { view }: Shared): () => void {
  const fingers = new Map<number, number>();
  const span = (): [number, number] => {
    const [a, b = a] = [...fingers.values()];
    return [Math.min(a, b), Math.max(a, b)];
  };
  const down = (event: PointerEvent) => {
    if (event.pointerType !== "touch" || fingers.size > 1) return;
    fingers.set(event.pointerId, event.clientX);
  };
  const move = (event: PointerEvent) => {
    if (!fingers.has(event.pointerId)) return;
    const { left, width } = element.getBoundingClientRect();
    const [a, b] = span();
    fingers.set(event.pointerId, event.clientX);
    const [c, d] = span();
    const now = brokerTime();
    const { from, to } = viewAt(view.peek(), now);
    const perPixel = (to - from) / width;
    if (fingers.size > 1) {
      const length = ((b - a) / Math.max(8, d - c)) * (to - from);
      // The time between the fingers stays between them.
      const centre = from + ((a + b) / 2 - left) * perPixel;
      const start = centre - (((c + d) / 2 - left) / width) * length;
      view.value = between(start, start + length, now);
    } else view.value = moved(view.peek(), (a - c) / width, now);
  };
  const up = (event: PointerEvent) => void fingers.delete(event.pointerId);
  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel", "pointerleave"] as const) element.addEventListener(name, up);
  return () => {
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel", "pointerleave"] as const) element.removeEventListener(name, up);
  };
}

/**
 * Whether the pointer moved: then it sets the crosshair again. A browser reports a movement by 0 pixels
 * too, when what is below the pointer changes.
 */
export function isMove(shared: Shared, { movementX, movementY }: MouseEvent): boolean {
  if (movementX || movementY) shared.byKey = false;
  return !shared.byKey;
}

/** Keys of a focused chart. `times`: where it has values. Returns whether the key was one. */
export function onKey(shared: Shared, event: KeyboardEvent, times: readonly number[]): boolean {
  const { view, cursor } = shared;
  const now = brokerTime();
  const { from, to } = viewAt(view.peek(), now);
  const centre = cursor.peek() ?? (from + to) / 2;
  const side = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (side && event.shiftKey) view.value = moved(view.peek(), side * KEY_SHARE, now);
  else if (side || event.key === "Home" || event.key === "End") {
    shared.byKey = true;
    cursor.value = side ? beside(times, cursor.peek(), side, from, to) : beside(times, null, event.key === "Home" ? 1 : -1, from, to);
  } else if (event.key === "+" || event.key === "=") view.value = zoomed(view.peek(), centre, 1 / KEY_FACTOR, now);
  else if (event.key === "-") view.value = zoomed(view.peek(), centre, KEY_FACTOR, now);
  else if (event.key === "0") shared.reset();
  else return false;
  return true;
}

/** The next value before or after a time, in a view. */
function beside(times: readonly number[], at: number | null, side: number, from: number, to: number): number | null {
  const inside = times.filter((time) => time >= from && time <= to);
  if (!inside.length) return null;
  if (at === null) return side > 0 ? inside[0] : inside[inside.length - 1];
  const next = side > 0 ? inside.find((time) => time > at + 1e-6) : inside.findLast((time) => time < at - 1e-6);
  return next ?? at;
}

/** The place of the point that is nearest to a time; -1 without any. */
export function nearest(times: readonly number[], at: number): number {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - times[low - 1] < times[low] - at ? low - 1 : high < 0 ? -1 : low;
}
