// SPDX-License-Identifier: BSD-3-Clause
/** Preferences of the user, stored in the browser. */
import { effect, signal, type Signal } from "@preact/signals";
import { GROUPS, type Group, type Layout } from "./model/layout";

const PREFIX = "pyaiot.";

export type Theme = "system" | "light" | "dark";
export type Density = "comfortable" | "compact";
export type Language = "" | "en" | "fr" | "de";

function kept<T>(name: string, start: T, good: (value: unknown) => boolean): Signal<T> {
  let value = start;
  try {
    const text = localStorage.getItem(PREFIX + name);
    const read: unknown = text === null ? start : JSON.parse(text);
    if (good(read)) value = read as T;
  } catch {
    // Written by something else, or storage is disabled: use the default.
  }
  const it = signal(value);
  let first = true;
  effect(() => {
    const text = JSON.stringify(it.value);
    if (first) {
      first = false;
      return;
    }
    try {
      localStorage.setItem(PREFIX + name, text);
    } catch {
      // Storage is disabled, as in a private window: it applies until the page is closed.
    }
  });
  return it;
}

const oneOf =
  (...values: unknown[]) =>
  (value: unknown) =>
    values.includes(value);
const isText = (value: unknown) => typeof value === "string";
const isTexts = (value: unknown) => Array.isArray(value) && value.every(isText);
const isLayout = (value: unknown) => {
  const { group, pins, order, value: shown, range } = (value ?? {}) as Record<string, unknown>;
  return GROUPS.includes(group as Group) && isTexts(pins) && isTexts(order) && isText(shown) && isText(range);
};
const isFlag = (value: unknown) => typeof value === "boolean";

export const settings = {
  theme: kept<Theme>("theme", "system", oneOf("system", "light", "dark")),
  density: kept<Density>("density", "comfortable", oneOf("comfortable", "compact")),
  language: kept<Language>("language", "", oneOf("", "en", "fr", "de")),
  map: kept("map", false, isFlag),
  camera: kept("camera", false, isFlag),
  cameraUrl: kept("cameraUrl", "", isText),
  /** The list of offline nodes is open. */
  offlineOpen: kept("offlineOpen", true, isFlag),
  /** Of the page while no saved view is open. */
  layout: kept<Layout>("layout", { group: "", pins: [], order: [], value: "", range: "" }, isLayout),
  /** Groups that are closed: kind and name. */
  closedGroups: kept<string[]>("closedGroups", [], isTexts),
  /** Notifications of the browser about alerts. */
  notify: kept("notify", false, isFlag),
  hiddenNodes: kept<string[]>("hiddenNodes", [], isTexts),
  hiddenResources: kept<string[]>("hiddenResources", [], isTexts),
};

/** An unsent text of the script editor of a node. */
export const draft = {
  read(uid: string): string | null {
    try {
      return localStorage.getItem(`${PREFIX}draft.${uid}`);
    } catch {
      return null;
    }
  },
  write(uid: string, text: string | null): void {
    try {
      if (text === null) localStorage.removeItem(`${PREFIX}draft.${uid}`);
      else localStorage.setItem(`${PREFIX}draft.${uid}`, text);
    } catch {
      // It is lost when the page closes.
    }
  },
};

effect(() => {
  const { theme, density } = settings;
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  root.dataset.density = density.value;
});
