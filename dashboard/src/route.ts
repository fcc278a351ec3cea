// SPDX-License-Identifier: BSD-3-Clause
/**
 * What the page shows, as in the URL: `#/table?q=temp>25`, `#/node/4A3A70052154CC1`,
 * `#/node/4A3A70052154CC1?value=temperature`, `#/fleet?view=greenhouse`.
 */
import { computed, signal } from "@preact/signals";

export type Screen = "nodes" | "fleet" | "table" | "map" | "updates" | "path" | "settings" | "audit";
const SCREENS: readonly Screen[] = ["nodes", "fleet", "table", "map", "updates", "path", "settings", "audit"];

export interface Route {
  screen: Screen;
  /** The node whose details are open, over the screen. */
  node: string;
  /** The resource of this node whose value is shown alone. */
  value: string;
  query: string;
  /** The id of the saved view that is open. */
  view: string;
  /** The URL does not name a filter: that of the view applies when the view is read. */
  isWhole?: boolean;
}

export function parseRoute(hash: string, before: Screen = "nodes"): Route {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const values = new URLSearchParams(search);
  const found = { query: values.get("q") ?? "", view: values.get("view") ?? "", isWhole: !values.has("q") };
  const [first, ...rest] = path.split("/");
  if (first === "node" && rest.length) return { screen: before, node: decode(rest.join("/")), value: values.get("value") ?? "", ...found };
  return { screen: SCREENS.find((screen) => screen === first) ?? "nodes", node: "", value: "", ...found };
}

export function formatRoute({ screen, node, value, query, view, isWhole }: Route): string {
  const parts = node && value ? [`value=${encodeURIComponent(value)}`] : [];
  if (view) parts.push(`view=${encodeURIComponent(view)}`);
  if (view ? !isWhole : query) parts.push(`q=${encodeURIComponent(query)}`);
  const search = parts.length ? `?${parts.join("&")}` : "";
  return node ? `#/node/${encodeURIComponent(node)}${search}` : `#/${screen}${search}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The page was opened without saying what to show: the start view may apply. */
export const isBare = !location.hash.replace(/^#\/?/, "");

export const route = signal<Route>(parseRoute(location.hash));
export const screen = computed(() => route.value.screen);
export const openNode = computed(() => route.value.node);
export const openValue = computed(() => route.value.value);
export const query = computed(() => route.value.query);
export const view = computed(() => route.value.view);

const read = () => (route.value = parseRoute(location.hash, route.value.screen));
addEventListener("hashchange", read);
addEventListener("popstate", read);

/** Change what is shown; with `replace`, without a new history entry. Another node has another value, or none. */
export function navigate(change: Partial<Route>, replace = false): void {
  const isWhole = change.isWhole ?? (change.query === undefined && route.peek().isWhole);
  route.value = { ...route.peek(), ...(change.node !== undefined && { value: "" }), ...change, isWhole };
  const hash = formatRoute(route.value);
  if (hash === location.hash) return;
  if (replace) history.replaceState(history.state, "", hash);
  else history.pushState(history.state, "", hash);
}

/** What a link to a node, or to one of its values, has. With Ctrl or Shift, the browser opens it elsewhere. */
export const nodeLink = (uid: string, value = "", before?: () => void) => ({
  href: formatRoute({ screen: "nodes", node: uid, value, query: "", view: "" }),
  onClick: (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    before?.();
    navigate({ node: uid, value });
  },
});
