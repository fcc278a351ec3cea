// SPDX-License-Identifier: BSD-3-Clause
/** Moves a node among the others, by pointer or by keyboard. Loaded with the bar above the nodes. */
import { signal } from "@preact/signals";
import { changeLayout, layout } from "../layout";
import { move, ORDER_MAX } from "../model/layout";
import { quote } from "../model/text";
import { shown, titleByUid } from "../store";
import { formatNumber } from "../i18n";
import { h } from "../i18n/home";

/** What was moved, for screen readers. */
export const moved = signal("");

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -Infinity, End: Infinity };
const EDGE_PX = 70;
const SCROLL_PX = 14;
/** A press that moves less is no drag. */
const LEAST_PX = 6;

const cardOf = (element: Element | null): HTMLElement | null => element?.closest<HTMLElement>("#nodes .card[data-uid]") ?? null;

/** Give the node the place of another one. */
function moveTo(uid: string, other: string): void {
  const uids = shown.peek().map((node) => node.uid);
  const to = uids.indexOf(other);
  const next = move(uids, layout.peek(), uid, to);
  if (!next) {
    if (to >= ORDER_MAX) moved.value = h("unmoved", { n: formatNumber(ORDER_MAX) });
    return;
  }
  changeLayout(next);
  const place = shown.peek().findIndex((node) => node.uid === uid);
  moved.value = h("moved", { name: quote(titleByUid(uid)), n: formatNumber(place + 1), all: formatNumber(uids.length) });
}

/** One place earlier (-1) or later (1) among the cards beside it; infinite: to the end. */
export function moveBy(uid: string, by: number): void {
  const card = cardOf(document.querySelector(`#nodes .card[data-uid="${CSS.escape(uid)}"]`));
  const beside = [...(card?.parentElement?.querySelectorAll<HTMLElement>(":scope > .card[data-uid]") ?? [])];
  const at = card ? beside.indexOf(card) : -1;
  const other = beside[Math.min(beside.length - 1, Math.max(0, at + by))];
  if (at >= 0 && other?.dataset.uid && other !== card) moveTo(uid, other.dataset.uid);
}

export function arrangeByKey(key: string, uid: string, button: HTMLElement): void {
  const by = STEPS[key];
  if (by === undefined) return;
  moveBy(uid, by);
  // Moved elements lose the focus.
  requestAnimationFrame(() => {
    button.focus();
    button.scrollIntoView({ block: "nearest" });
  });
}

/** Follow the pointer until it is released; Escape cancels. */
export function arrangeByPointer(start: PointerEvent, uid: string, handle: HTMLElement): void {
  const card = cardOf(handle);
  if (!card) return;
  const [x, y] = [start.pageX, start.pageY];
  let target: HTMLElement | null = null;
  let isDragged = false;
  let scroll = 0;
  const timer = setInterval(() => scroll && scrollBy(0, scroll), 16);
  const over = (event: PointerEvent) => {
    isDragged ||= Math.hypot(event.pageX - x, event.pageY - y) > LEAST_PX;
    if (!isDragged) return;
    card.classList.add("dragged");
    card.style.translate = `${event.pageX - x}px ${event.pageY - y}px`;
    scroll = event.clientY < EDGE_PX ? -SCROLL_PX : event.clientY > innerHeight - EDGE_PX ? SCROLL_PX : 0;
    const found = document.elementsFromPoint(event.clientX, event.clientY).map(cardOf).find((it) => it && it !== card) ?? null;
    const next = found?.parentElement === card.parentElement ? found : null;
    if (next === target) return;
    target?.classList.remove("drop");
    target = next;
    target?.classList.add("drop");
  };
  const end = () => {
    clearInterval(timer);
    card.classList.remove("dragged");
    card.style.translate = "";
    target?.classList.remove("drop");
    for (const [name, listener] of listeners) removeEventListener(name, listener as EventListener, true);
  };
  const drop = () => {
    const other = target?.dataset.uid;
    end();
    if (isDragged && other) moveTo(uid, other);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    end();
  };
  const listeners: [string, (event: never) => void][] = [["pointermove", over], ["pointerup", drop], ["pointercancel", end], ["keydown", key]];
  for (const [name, listener] of listeners) addEventListener(name, listener as EventListener, true);
}
