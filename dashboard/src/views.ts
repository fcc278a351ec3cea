// SPDX-License-Identifier: BSD-3-Clause
/** Saved views of the broker (`/api/views`), which of them is open, and whether it was changed here. */
import { computed, effect, signal } from "@preact/signals";
import { apiUrl, mayHaveApi } from "./config";
import { newId } from "./model/ids";
import { isSame, type Layout } from "./model/layout";
import { changeLayout, layout } from "./layout";
import { ApiProblem, request } from "./registryApi";
import { isBare, navigate, route, screen, type Screen } from "./route";
import { settings } from "./settings";
import { isLive, link, viewsVersion } from "./store";

/** As the broker has it: absent members are empty. */
export interface View extends Partial<Layout> {
  title: string;
  screen?: Screen;
  query?: string;
  start?: boolean;
}

export interface SavedView {
  id: string;
  revision: number;
  view: View;
}

/** Null until they were read, and where the broker has none. */
export const views = signal<SavedView[] | null>(null);
/** The view that is open. */
export const openView = computed(() => views.value?.find(({ id }) => id === route.value.view));
/** The URL names a view that does not exist. */
export const isMissing = computed(() => views.value !== null && route.value.view !== "" && !openView.value);

const OF_VIEWS: readonly Screen[] = ["nodes", "fleet", "table", "map"];

const layoutOf = ({ group = "", pins = [], order = [], value = "", range = "" }: View): Layout => ({ group, pins, order, value, range });

/** Whether the page shows something else than the open view. Screens that no view has do not count. */
export const isChanged = computed(() => {
  const found = openView.value?.view;
  if (!found) return false;
  const { screen: its, query } = route.value;
  return query !== (found.query ?? "") || (OF_VIEWS.includes(its) && its !== (found.screen ?? "nodes")) || !isSame(layout.value, layoutOf(found));
});

/** Show a view as it is saved; with `replace`, without a new history entry. */
export function open({ id, view }: SavedView, replace = false): void {
  navigate({ screen: view.screen ?? "nodes", node: "", view: id, query: view.query ?? "", isWhole: true }, replace);
  layout.value = layoutOf(view);
}

/** Show all nodes, in the layout of this browser. */
export function close(): void {
  navigate({ view: "", query: "", node: "", isWhole: true });
  layout.value = settings.layout.peek();
}

const urlOf = (id: string): string => `${apiUrl()}views/${encodeURIComponent(id)}`;

/** Save what the page shows. Throws `ApiProblem`; its status is 412 if somebody else edited the view. */
export async function save(id: string, title: string, start: boolean, revision: number): Promise<void> {
  const its = OF_VIEWS.includes(screen.peek()) ? screen.peek() : "nodes";
  const body = { title, start, screen: its, query: route.peek().query, ...layout.peek() };
  const saved = (await request("PUT", urlOf(id), body, revision)) as SavedView;
  views.value = [...(views.peek() ?? []).filter((it) => it.id !== id), saved];
  navigate({ view: id, isWhole: true }, true);
}

/** Change the title or the start page of a view, and nothing else. */
export async function edit({ id, revision, view }: SavedView, change: { title?: string; start?: boolean }): Promise<void> {
  await request("PUT", urlOf(id), { ...view, ...change }, revision);
  await read();
}

export async function remove({ id }: SavedView): Promise<void> {
  await request("DELETE", urlOf(id));
  await read();
  if (route.peek().view === id) close();
}

export const freeId = (title: string): string => newId(title, (views.peek() ?? []).map(({ id }) => id), "view");

/** Whether the broker has views; one of an earlier version has none. */
let isThere = true;
/** The view of the URL or the start view was applied. */
let isBegun = false;
let applied = "";

async function read(): Promise<void> {
  try {
    views.value = ((await request("GET", `${apiUrl()}views`)) as { views: SavedView[] }).views;
  } catch (error) {
    isThere = !(error instanceof ApiProblem && error.status === 404);
  }
}

effect(() => {
  void viewsVersion.value;
  if (isLive.value && !link.value.legacy && mayHaveApi() && isThere) void read();
});

effect(() => {
  const list = views.value;
  if (!list) return;
  const start = list.find(({ view }) => view.start);
  if (!isBegun && isBare && !route.peek().view && start) open(start);
  isBegun = true;
  follow();
});

/** The URL names another view than the last one: its layout applies, and its filter if the URL has none. */
function follow(): void {
  const { view: id, isWhole, query } = route.value;
  const found = openView.value;
  if (id === applied || (id && !found)) return;
  applied = id;
  if (!found) {
    layout.value = settings.layout.peek();
    return;
  }
  layout.value = layoutOf(found.view);
  if (isWhole && query !== (found.view.query ?? "")) navigate({ query: found.view.query ?? "", isWhole: true }, true);
}

export { changeLayout };
