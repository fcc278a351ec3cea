// SPDX-License-Identifier: BSD-3-Clause
/**
 * State → signals. Messages are taken in as they come; what they changed is told once per frame,
 * and only to what somebody can see.
 */
import { computed, signal, type Signal } from "@preact/signals";
import { Connection, type Phase, type Reason } from "./connection";
import type { ToClient } from "./messages";
import { matches, parseQuery } from "./model/query";
import { newState, reduce, tick, type Node, type Own, type Resource, type State } from "./model/state";
import { query } from "./route";
import { settings } from "./settings";

const RATE_OVER_S = 3;
const SPARK_MS = 250;
const BACK_SHOWN_S = 6;

export const clock = (): number => performance.now() / 1000;

export const state: State = newState(Date.now() / 1000 - clock());

export interface Link {
  phase: Phase;
  reason: Reason | null;
  retryAt: number;
  legacy: boolean;
}

export const link = signal<Link>({ phase: "connecting", reason: null, retryAt: 0, legacy: false });
export const isLive = computed(() => link.value.phase === "live");
/** Seconds that were missed; 0 when that was said long enough. */
export const missed = signal(0);
/** Counts seconds: for what shows ages. */
export const second = signal(0);
export const rate = signal(0);
export const paused = signal(false);
/** Messages that came while paused. */
export const waiting = signal(0);
export const membership = signal(0);
export const happenings = signal(0);
export const joined = signal(false);
/** Nodes to show, in the order of their appearance. */
export const shown = signal<Node[]>([]);
/** Nodes that are there, matched or not. */
export const present = signal(0);
/** The node that the pointer is over, on its card or on a map. */
export const hovered = signal<Node | null>(null);

export const parsedQuery = computed(() => parseQuery(query.value));

let connection: Connection | null = null;
let lostAt = 0;
let missedAt = 0;
let waited = 0;
let frame = 0;
const counts: number[] = Array<number>(RATE_OVER_S).fill(0);
const visible = new Set<Node>();
const drawers = new Map<Resource, Set<() => void>>();
const due = new Set<Resource>();
let drawnAt = 0;
let drawnLive = false;

export function connect(url: string): void {
  connection = new Connection(url, {
    opened: (legacy) => take([{ type: "opened", legacy }]),
    messages(list) {
      counts[0] += list.length;
      if (paused.value) waited += list.length;
      take(list);
    },
    lost: (reason) => {
      if (state.live) lostAt = clock();
      take([{ type: "lost", reason: reason.said }]);
    },
    changed: linkChanged,
  });
  connection.open();
  setInterval(everySecond, 1000);
}

export const retry = (): void => connection?.retry();

function linkChanged(): void {
  if (!connection) return;
  const { phase, reason, retryAt, legacy } = connection;
  link.value = { phase, reason, retryAt, legacy };
  if (phase === "live" && lostAt) {
    missed.value = Math.max(1, Math.round(clock() - lostAt));
    missedAt = clock();
    lostAt = 0;
  }
  schedule();
}

export function take(list: (ToClient | Own)[]): void {
  const now = clock();
  for (const message of list) {
    try {
      reduce(state, message, now);
    } catch (error) {
      console.warn("A message that cannot be used:", message, error);
    }
  }
  schedule();
}

function schedule(): void {
  frame ||= requestAnimationFrame(publish);
}

const ring = (bell: { value: number } | null): void => {
  if (bell) bell.value += 1;
};

/** Tell what changed since the last frame. */
function publish(time: number): void {
  frame = 0;
  const { changed } = state;
  state.changed = [];
  for (const resource of changed) {
    resource.noted = false;
    const { node } = resource;
    if (paused.value && resource.command === null) node.behind = true;
    else if (node.seen) {
      ring(resource.bell);
      if (drawers.has(resource)) due.add(resource);
    } else node.behind = true;
  }
  for (const node of state.reshaped) ring(node.bell);
  state.reshaped.clear();
  if (drawnLive !== state.live) {
    drawnLive = state.live;
    redraw(); // what stands still looks so
  }
  if (joined.value !== state.joined) joined.value = state.joined;
  if (state.membership !== membership.value) {
    membership.value = state.membership;
    choose();
  }
  if (state.happenings !== happenings.value) happenings.value = state.happenings;
  if (due.size && time - drawnAt >= SPARK_MS) {
    drawnAt = time;
    for (const resource of due) drawers.get(resource)?.forEach((draw) => draw());
    due.clear();
  }
  if (due.size) schedule();
}

function everySecond(): void {
  const now = clock();
  tick(state, now);
  rate.value = Math.round(counts.reduce((sum, count) => sum + count) / RATE_OVER_S);
  counts.pop();
  counts.unshift(0);
  if (paused.value) waiting.value = waited;
  second.value += 1;
  for (const node of visible) ring(node.clock);
  if (missed.value && now - missedAt > BACK_SHOWN_S) missed.value = 0;
  if (parsedQuery.peek().moving) choose();
  schedule();
}

/** Which nodes are to be shown. The list is told only if it is another. */
export function choose(): void {
  const now = clock();
  const asked = parsedQuery.peek();
  const hidden = new Set(settings.hiddenNodes.peek());
  const list: Node[] = [];
  let there = 0;
  for (const node of state.nodes.values()) {
    if (!node.left) there += 1;
    if (node.left?.filed && !asked.wantsLeft) continue;
    if (hidden.has(node.uid)) continue;
    if (!asked.terms.length || matches(asked, node, state, now)) list.push(node);
  }
  present.value = there;
  const before = shown.peek();
  if (before.length !== list.length || list.some((node, index) => node !== before[index])) shown.value = list;
}

parsedQuery.subscribe(() => choose());
settings.hiddenNodes.subscribe(() => choose());

export function pause(on: boolean): void {
  paused.value = on;
  waited = 0;
  waiting.value = 0;
  if (!on) for (const node of visible) catchUp(node);
}

function catchUp(node: Node): void {
  node.behind = false;
  for (const resource of node.resources.values()) {
    ring(resource.bell);
    if (drawers.has(resource)) due.add(resource);
  }
  schedule();
}

/** Somebody can see the node now, or no more. Counted, because two screens may show it. */
const viewers = new Map<Node, number>();
export function see(node: Node, seen: boolean): void {
  const count = Math.max(0, (viewers.get(node) ?? 0) + (seen ? 1 : -1));
  if (count) viewers.set(node, count);
  else viewers.delete(node);
  node.seen = count > 0;
  if (!node.seen) {
    visible.delete(node);
    return;
  }
  visible.add(node);
  ring(node.clock);
  if (node.behind && !paused.value) catchUp(node);
}

/** Draw a picture of the resource when it changed, four times a second at most. */
export function onSample(resource: Resource, draw: () => void): () => void {
  const all = drawers.get(resource) ?? new Set();
  drawers.set(resource, all.add(draw));
  draw();
  return () => {
    all.delete(draw);
    if (!all.size && drawers.get(resource) === all) drawers.delete(resource);
  };
}

/** Draw all pictures again: another theme, another size. */
export function redraw(): void {
  for (const all of drawers.values()) for (const draw of all) draw();
}

export const bellOf = (it: Resource | Node): Signal<number> => (it.bell ??= signal(0)) as Signal<number>;
export const clockOf = (node: Node): Signal<number> => (node.clock ??= signal(0)) as Signal<number>;

let asked = 0;
/** Write to a resource. Its receipt, or that there is none, will be shown. Whether it was sent. */
export function ask(resource: Resource, payload: string, timeout = 5): boolean {
  if (!connection || link.peek().phase !== "live" || resource.node.left) return false;
  const id = `page-${(asked += 1)}`;
  const { endpoint, node } = resource;
  const sent = connection.send(
    connection.legacy
      ? { type: "update", data: { uid: node.uid, endpoint, payload } }
      : { type: "command", id, uid: node.uid, endpoint, payload, timeout },
  );
  if (sent) take([{ type: "asked", id, resource, payload }]);
  return sent;
}
