// SPDX-License-Identifier: BSD-3-Clause
/** Where one is: `#/table?q=temp>25`, `#/node/4A3A70052154CC1`. The address says all of it. */
import { computed, signal } from "@preact/signals";

export type Screen = "nodes" | "table" | "map" | "updates" | "settings";
const SCREENS: readonly Screen[] = ["nodes", "table", "map", "updates", "settings"];

export interface Place {
  screen: Screen;
  /** The node whose details are open, over the screen. */
  node: string;
  query: string;
}

export function readPlace(hash: string, before: Screen = "nodes"): Place {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const query = new URLSearchParams(search).get("q") ?? "";
  const [first, ...rest] = path.split("/");
  if (first === "node" && rest.length) return { screen: before, node: decode(rest.join("/")), query };
  return { screen: SCREENS.find((screen) => screen === first) ?? "nodes", node: "", query };
}

export function writePlace({ screen, node, query }: Place): string {
  const search = query ? `?q=${encodeURIComponent(query)}` : "";
  return node ? `#/node/${encodeURIComponent(node)}${search}` : `#/${screen}${search}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = signal<Place>(readPlace(location.hash));
export const screen = computed(() => place.value.screen);
export const openNode = computed(() => place.value.node);
export const query = computed(() => place.value.query);

addEventListener("hashchange", () => {
  place.value = readPlace(location.hash, place.value.screen);
});

/** Go there; with `replace`, Back does not come here again. */
export function go(change: Partial<Place>, replace = false): void {
  place.value = { ...place.value, ...change };
  const hash = writePlace(place.value);
  if (hash === location.hash) return;
  if (replace) history.replaceState(history.state, "", hash);
  else history.pushState(history.state, "", hash);
}

addEventListener("popstate", () => {
  place.value = readPlace(location.hash, place.value.screen);
});
