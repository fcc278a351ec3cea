// SPDX-License-Identifier: BSD-3-Clause
/** A dot that travels along the boxes of the path: a command, and its receipt back. */
import type { Journey } from "../../model/topology";

const LEG_MS = 320;
const GOOD = new Set(["confirmed", "sent"]);
/** Largest number of dots at once; further commands are only in the list. */
const DOTS_MAX = 24;

const isCalm = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The boxes from the client to the device; those that are not drawn are left out. */
function stops(root: HTMLElement, { uid, gateway }: Journey): HTMLElement[] {
  const box = (name: string, value: string) => [...root.querySelectorAll<HTMLElement>(`[data-${name}]`)].find((its) => its.dataset[name] === value);
  const its = box("gateway", gateway);
  const peer = its?.dataset.broker && box("box", `broker ${its.dataset.broker}`);
  return [box("box", "page"), box("box", "broker"), peer || undefined, its, box("device", uid)].filter((its) => its !== undefined);
}

export function travel(root: HTMLElement | null, journey: Journey): void {
  if (!root) return;
  const way = stops(root, journey);
  if (way.length < 2) return;
  const isBack = journey.outcome !== null;
  const kind = isBack ? (GOOD.has(journey.outcome ?? "") ? "good" : "bad") : "command";
  const end = isBack ? way[0] : way[way.length - 1];
  if (isCalm()) return flash(end, kind);
  if (root.querySelectorAll(".path-dot").length >= DOTS_MAX) return;
  const { left, top } = root.getBoundingClientRect();
  const points = (isBack ? [...way].reverse() : way).map((box) => {
    const its = box.getBoundingClientRect();
    return { x: its.left + its.width / 2 - left, y: its.top + Math.min(its.height / 2, 40) - top };
  });
  const dot = document.createElement("i");
  dot.className = "path-dot";
  dot.dataset.kind = kind;
  root.append(dot);
  const frames = points.map(({ x, y }) => ({ translate: `${x}px ${y}px` }));
  const run = dot.animate(frames, { duration: LEG_MS * (points.length - 1), easing: "ease-in-out", fill: "forwards" });
  const done = () => {
    dot.remove();
    flash(end, kind);
  };
  run.onfinish = done;
  run.oncancel = () => dot.remove();
}

function flash(box: HTMLElement, kind: string): void {
  box.dataset.flash = kind;
  setTimeout(() => delete box.dataset.flash, 900);
}
