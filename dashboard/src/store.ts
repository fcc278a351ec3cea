// SPDX-License-Identifier: BSD-3-Clause
/**
 * State → signals. Messages are applied as they arrive; signals change once per frame, and only for
 * what is visible.
 */
import { computed, signal, type Signal } from "@preact/signals";
import { Connection, type Phase, type Reason } from "./connection";
import type { Subscribe, ToClient } from "./messages";
import { matches, parseQuery } from "./model/query";
import { arrange } from "./model/layout";
import { byLastSeen, byName } from "./model/order";
import { findNode, isFiled, newState, reduce, tick, type Node, type LocalEvent, type Registered, type Resource, type State } from "./model/state";
import { layout } from "./layout";
import { query } from "./route";
import { nodeTitle, quote } from "./model/text";
import { settings } from "./settings";
import { t } from "./i18n";

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
/** The time that the page shows, in Unix seconds; 0: now. */
export const past = signal(0);
/** Whether the timeline is shown. */
export const timelineOpen = signal(false);
/** Connected, and showing what is now: controls and edits have an effect. */
export const isLive = computed(() => link.value.phase === "live" && !past.value);
/** Seconds that were missed; 0 when the message has been shown long enough. */
export const missed = signal(0);
/** Counts seconds, for ages. */
export const second = signal(0);
export const rate = signal(0);
export const paused = signal(false);
/** Messages received while paused. */
export const waiting = signal(0);
export const membership = signal(0);
export const activityCount = signal(0);
export const joined = signal(false);
/** Changes when alerts have to be read again. */
export const alertsVersion = signal(0);
/** Changes when saved views have to be read again. */
export const viewsVersion = signal(0);
/** Nodes to show, in the order of the layout. */
export const shown = signal<Node[]>([]);
/** Offline and banned nodes of the registry to list, the last one to leave first. */
export const offline = signal<Registered[]>([]);
/** Number of such nodes, matched or not. */
export const offlineCount = signal(0);
/** Newcomers that wait for approval, the first one first. */
export const newcomers = signal<Registered[]>([]);
/** Number of nodes that are online, matched or not. */
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
/** The nodes that are drawn now. */
export const visible = new Set<Node>();
const drawers = new Map<Resource, Set<() => void>>();
const due = new Set<Resource>();
let drawnAt = 0;
let drawnLive = false;

export function connect(): void {
  connection = new Connection({
    opened: (legacy) => receive([{ type: "opened", legacy }]),
    messages(list) {
      counts[0] += list.length;
      if (paused.value) waited += list.length;
      receive(list);
    },
    lost: (reason) => {
      if (state.live) lostAt = clock();
      receive([{ type: "lost", reason: reason.text }]);
    },
    changed: linkChanged,
  });
  connection.open();
  setInterval(everySecond, 1000);
}

/** Choose which readings the broker sends; `again`: then the state of all nodes. */
export function subscribe(request: Subscribe, again = false): void {
  if (connection?.send(request) && again) connection.join();
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

/** What is now, while the page shows the past. */
let now_: State | null = null;

/** Called with the messages of the broker and of this page as they arrive. */
export const taps = new Set<(list: (ToClient | LocalEvent)[]) => void>();

export function receive(list: (ToClient | LocalEvent)[]): void {
  const now = clock();
  for (const tap of taps) tap(list);
  for (const message of list) {
    try {
      reduce(now_ ?? state, message, now);
    } catch (error) {
      console.warn("An invalid message:", message, error);
    }
  }
  schedule();
}

function schedule(): void {
  frame ||= requestAnimationFrame(publish);
}

/** What has changed is not drawn. */
function settle(hidden: State): void {
  for (const resource of hidden.changed) resource.noted = false;
  hidden.changed = [];
  hidden.reshaped.clear();
}

/** Show another state: one of the past at the time `at`; null: what is now. */
export function showState(shown: State | null, at = 0): void {
  const version = state.membership + 1;
  if (shown) {
    if (!now_) {
      settle(state);
      now_ = { ...state };
    }
    Object.assign(state, shown);
  } else if (now_) {
    Object.assign(state, now_);
    now_ = null;
  }
  membership.value = state.membership = version;
  choose(); // at once: what is drawn next is made of the new nodes only
  past.value = at;
  schedule();
}

/** What is now, also while the page shows the past. */
export const presentState = (): State => now_ ?? state;

const ring = (trigger: { value: number } | null): void => {
  if (trigger) trigger.value += 1;
};

/** Update the signals of what changed since the last frame. */
function publish(time: number): void {
  frame = 0;
  if (now_) settle(now_);
  const { changed } = state;
  state.changed = [];
  for (const resource of changed) {
    resource.noted = false;
    const { node } = resource;
    if (paused.value && resource.command === null) node.behind = true;
    else if (node.visible) {
      ring(resource.trigger);
      if (drawers.has(resource)) due.add(resource);
    } else node.behind = true;
  }
  for (const node of state.reshaped) ring(node.trigger);
  state.reshaped.clear();
  if (drawnLive !== state.live) {
    drawnLive = state.live;
    redraw(); // a frozen picture is drawn differently
  }
  const hasJoined = state.joined && !joined.value;
  if (joined.value !== state.joined) joined.value = state.joined;
  if (state.membership !== membership.value || hasJoined) {
    membership.value = state.membership;
    if (state.joined) choose(); // before that, nothing is shown
  }
  alertsVersion.value = (now_ ?? state).alertsVersion;
  viewsVersion.value = (now_ ?? state).viewsVersion;
  if (state.activityCount !== activityCount.value) activityCount.value = state.activityCount;
  if (due.size && time - drawnAt >= SPARK_MS) {
    drawnAt = time;
    for (const resource of due) drawers.get(resource)?.forEach((draw) => draw());
    due.clear();
  }
  if (due.size) schedule();
}

function everySecond(): void {
  const now = clock();
  tick(now_ ?? state, now);
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

let ordered: Node[] = [];
let orderedAt = -1;

/** All nodes in natural order. The last order is sorted again, because sorting what is almost sorted is fast. */
function inOrder(): Node[] {
  if (orderedAt === state.membership) return ordered;
  orderedAt = state.membership;
  const before = ordered.filter((node) => state.nodes.get(node.uid) === node);
  const known = new Set(before);
  ordered = [...before, ...[...state.nodes.values()].filter((node) => !known.has(node))].sort(byName);
  return ordered;
}

/** Select the nodes to show. The signal changes only if the list does. */
export function choose(): void {
  const now = clock();
  const parsed = parsedQuery.peek();
  const hidden = new Set(settings.hiddenNodes.peek());
  const list: Node[] = [];
  let there = 0;
  for (const node of inOrder()) {
    if (!node.left) there += 1;
    if (node.left?.filed && (node.registered || !parsed.includesOffline)) continue;
    if (hidden.has(node.uid)) continue;
    if (!parsed.terms.length || matches(parsed, node, state, now)) list.push(node);
  }
  present.value = there;
  assign(shown, arrange(list, layout.peek()));
  const rows: Registered[] = [];
  const waits: Registered[] = [];
  let away = 0;
  for (const registered of state.registry.values()) {
    if (registered.state === "waiting") waits.push(registered);
    if (!isFiled(state, registered)) continue;
    away += 1;
    if (hidden.has(registered.uid)) continue;
    const node = parsed.terms.length ? findNode(state, registered.uid) : undefined;
    if (!node || matches(parsed, node, state, now)) rows.push(registered);
  }
  offlineCount.value = away;
  assign(offline, rows.sort(byLastSeen));
  assign(newcomers, waits);
}

/** The signal changes only if the list does. */
function assign<T>(target: Signal<T[]>, list: T[]): void {
  const before = target.peek();
  if (before.length !== list.length || list.some((item, index) => item !== before[index])) target.value = list;
}

/** All nodes in natural order, for a component. */
export function allNodes(): Node[] {
  void membership.value;
  return inOrder();
}

parsedQuery.subscribe(() => choose());
settings.hiddenNodes.subscribe(() => choose());
layout.subscribe(() => choose());

export function pause(on: boolean): void {
  paused.value = on;
  waited = 0;
  waiting.value = 0;
  if (!on) for (const node of visible) catchUp(node);
}

function catchUp(node: Node): void {
  node.behind = false;
  for (const resource of node.resources.values()) {
    ring(resource.trigger);
    if (drawers.has(resource)) due.add(resource);
  }
  schedule();
}

/** The node became visible or hidden. Counted, because two elements may show it. */
const viewers = new Map<Node, number>();
export function setVisible(node: Node, becomesVisible: boolean): void {
  const count = Math.max(0, (viewers.get(node) ?? 0) + (becomesVisible ? 1 : -1));
  if (count) viewers.set(node, count);
  else viewers.delete(node);
  node.visible = count > 0;
  if (!node.visible) {
    visible.delete(node);
    return;
  }
  visible.add(node);
  ring(node.clock);
  if (node.behind && !paused.value) catchUp(node);
}

/** The title of a node, online or not. */
export const titleByUid = (uid: string): string => nodeTitle(findNode(state, uid) ?? { uid });

/**
 * Call `draw` when the resource changed, at most four times a second. With `later`, the first time is
 * when the node is visible.
 */
export function onSample(resource: Resource, draw: () => void, later = false): () => void {
  const all = drawers.get(resource) ?? new Set();
  drawers.set(resource, all.add(draw));
  if (later && !resource.node.visible) resource.node.behind = true;
  else draw();
  return () => {
    all.delete(draw);
    if (!all.size && drawers.get(resource) === all) drawers.delete(resource);
  };
}

/** Draw all lines again. */
export function redraw(): void {
  for (const all of drawers.values()) for (const draw of all) draw();
}

export interface Notice {
  text: string;
  /** Undoes what happened. Returns the node to go to. */
  undo?: () => string | Promise<string>;
  /** The element with the focus was removed: the button gets it. */
  takesFocus?: boolean;
}

/** What has just happened, and how to undo it. */
export const toast = signal<Notice | null>(null);

/** A question before something happens to many nodes. */
export interface Question {
  title: string;
  text: string;
  /** The label of the button. */
  action: string;
  act: () => void;
}

export const question = signal<Question | null>(null);

let hiding: Notice | null = null;
let hidden = "";

export function hideNode(node: Node): void {
  settings.hiddenNodes.value = [...settings.hiddenNodes.peek(), node.uid];
  hidden = node.uid;
  toast.value = hiding = {
    text: t("node.hidden", { name: quote(nodeTitle(node)) }),
    undo: () => {
      unhide(node.uid);
      return node.uid;
    },
  };
}

export function unhide(uid: string): void {
  settings.hiddenNodes.value = settings.hiddenNodes.peek().filter((its) => its !== uid);
  if (hidden === uid && toast.peek() === hiding) toast.value = null;
}

export const triggerOf = (it: Resource | Node): Signal<number> => (it.trigger ??= signal(0)) as Signal<number>;
export const clockOf = (node: Node): Signal<number> => (node.clock ??= signal(0)) as Signal<number>;

let commandCount = 0;
/** Write to a resource; its receipt or its timeout will be shown. Returns whether it was sent. */
export function sendCommand(resource: Resource, payload: string, timeout = 5): boolean {
  if (!connection || !isLive.peek() || resource.node.left) return false;
  const id = `page-${(commandCount += 1)}`;
  const { endpoint, node } = resource;
  const sent = connection.send(
    connection.legacy
      ? { type: "update", data: { uid: node.uid, endpoint, payload } }
      : { type: "command", id, uid: node.uid, endpoint, payload, timeout },
  );
  if (sent) receive([{ type: "command_sent", id, resource, payload }]);
  return sent;
}
