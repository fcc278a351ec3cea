// SPDX-License-Identifier: BSD-3-Clause
/** Keyboard shortcuts of the page. `?` shows them. */
import { signal } from "@preact/signals";
import { isKiosk } from "../config";
import { navigate, type Screen } from "../route";
import { past, pause, paused, timelineOpen } from "../store";
import type { Key } from "../i18n";

/** The open overlay, besides the details of a node. */
export const overlay = signal<"" | "activity" | "alerts" | "help" | "device" | "account" | "topics" | "menu">("");

/** Whether the filters are open. */
export const filtersOpen = signal(false);

const SCREEN_KEYS: Record<string, Screen> = { "1": "nodes", "2": "table", "3": "map", "4": "updates", "5": "path", ",": "settings" };

export const KEYS: readonly [keys: string, what: Key][] = [
  ["/", "keys.search"],
  ["1 2 3 4 5", "keys.screens"],
  [",", "keys.settings"],
  ["a", "keys.activity"],
  ["n", "keys.alerts"],
  ["p", "keys.pause"],
  ["t", "keys.timeline"],
  ["?", "keys.help"],
  ["Esc", "keys.close"],
  ["← ↑ →  Space", "keys.drive"],
  ["Ctrl Enter", "keys.script"],
];

/** Open the timeline; from the past, go back to what is now. */
export function toggleTimeline(): void {
  if (past.peek()) void import("../past").then((it) => it.leave());
  else timelineOpen.value = !timelineOpen.peek();
}

export function listenToKeys(): () => void {
  if (isKiosk) return () => undefined;
  const listen = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isText(event)) return;
    const { key } = event;
    if (key === "/") document.querySelector<HTMLInputElement>("#search")?.focus();
    else if (key === "?") overlay.value = overlay.peek() === "help" ? "" : "help";
    else if (key === "a") overlay.value = overlay.peek() === "activity" ? "" : "activity";
    else if (key === "n") overlay.value = overlay.peek() === "alerts" ? "" : "alerts";
    else if (key === "p") pause(!paused.peek());
    else if (key === "t") toggleTimeline();
    else if (key === "Escape" && overlay.peek()) overlay.value = "";
    else if (key in SCREEN_KEYS && !document.querySelector("dialog[open]")) navigate({ screen: SCREEN_KEYS[key], node: "" });
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}

const WITHOUT_TEXT = new Set(["checkbox", "radio", "button", "range"]);

/** Text fields keep their keys; an editor is in a shadow root. */
function isText(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (target instanceof HTMLInputElement) return !WITHOUT_TEXT.has(target.type);
  return target instanceof HTMLElement && (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName));
}
