// SPDX-License-Identifier: BSD-3-Clause
/** The current view, as in the URL: `#/table?q=temp>25`, `#/node/4A3A70052154CC1`. */
import { computed, signal } from "@preact/signals";

export type Screen = "nodes" | "table" | "map" | "updates" | "settings" | "audit";
const SCREENS: readonly Screen[] = ["nodes", "table", "map", "updates", "settings", "audit"];

export interface Route {
  screen: Screen;
  /** The node whose details are open, over the screen. */
  node: string;
  query: string;
}

export function parseRoute(hash: string, before: Screen = "nodes"): Route {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const query = new URLSearchParams(search).get("q") ?? "";
  const [first, ...rest] = path.split("/");
  if (first === "node" && rest.length) return { screen: before, node: decode(rest.join("/")), query };
  return { screen: SCREENS.find((screen) => screen === first) ?? "nodes", node: "", query };
}

export function formatRoute({ screen, node, query }: Route): string {
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

export const route = signal<Route>(parseRoute(location.hash));
export const screen = computed(() => route.value.screen);
export const openNode = computed(() => route.value.node);
export const query = computed(() => route.value.query);

addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash, route.value.screen);
});

/** Change the view; with `replace`, without a new history entry. */
export function navigate(change: Partial<Route>, replace = false): void {
  route.value = { ...route.value, ...change };
  const hash = formatRoute(route.value);
  if (hash === location.hash) return;
  if (replace) history.replaceState(history.state, "", hash);
  else history.pushState(history.state, "", hash);
}

addEventListener("popstate", () => {
  route.value = parseRoute(location.hash, route.value.screen);
});
