// SPDX-License-Identifier: BSD-3-Clause
/**
 * A page with many nodes subscribes to the readings that it shows: those of the nodes on
 * screen, and of all nodes what summary, names and filters need. The broker sends everything else
 * about all nodes, and names every few seconds those that sent readings.
 */
import { signal } from "@preact/signals";
import { namesWith, nextPart } from "./model/part";
import { FACTS } from "./model/readings";
import type { Node, State } from "./model/state";
import { gap } from "./model/values";
import { parsedQuery, presentState, clock, link, subscribe, taps, visible } from "./store";
import { screen } from "./route";
import { settings } from "./settings";

const LOOK_MS = 200;
/** The page goes back from everything to a part after this time: a search is typed in steps. */
const REST_MS = 10_000;
/** Names of resources are looked for again after this time. */
const NAMES_MS = 5000;
/** Between two requests for the state of all nodes; the broker allows about one in a second. */
const STATE_MS = 1000;

/** Whether the page gets only some of the readings. */
export const isNarrow = signal(false);
/** The resource by which the table is sorted; empty: by none. */
export const sortedBy = signal("");

/** Nodes that appeared or rebooted. Their readings are requested also if they are not on screen, */
const novel = new Map<string, number>();
/** this many at a time, */
const NOVEL_MAX = 500;
/** and each for this time, in ms; for less while others wait. */
const NOVEL_MS = 10_000;
const NOVEL_SHORT_MS = 2000;

let part: ReadonlySet<string> | null = null;
let era = 0;
let named: ReadonlySet<string> = new Set();
let wholeUntil = 0;
/** When the part changed. */
let partAt = 0;
let stateAt = -STATE_MS;
let positions: string[] = [];
/** Of all resources. */
let names: ReadonlySet<string> = new Set();
let namesAt = -NAMES_MS;
let timer = 0;

/** From now on, subscribe to what is shown. A second call changes nothing. */
export function begin(): void {
  if (timer) return;
  timer = window.setInterval(look, LOOK_MS);
  taps.add((list) => {
    for (const message of list) if (part && (message.type === "new" || message.type === "reset")) novel.set(message.uid, 0);
  });
}

/** The novel nodes whose turn it is. */
function novelNow(now: number): string[] {
  const limit = novel.size > NOVEL_MAX ? NOVEL_SHORT_MS : NOVEL_MS;
  const taken: string[] = [];
  for (const [uid, since] of novel) {
    if (taken.length === NOVEL_MAX) break;
    if (!since) novel.set(uid, now);
    if (since && now - since > limit) novel.delete(uid);
    else taken.push(uid);
  }
  return taken;
}

function findNames(state: State, now: number): void {
  if (now - namesAt < NAMES_MS) return;
  namesAt = now;
  const all = new Set<string>();
  const places = new Set(["position"]);
  for (const { resources } of state.nodes.values())
    for (const { name, type } of resources.values()) {
      all.add(name);
      if (type.kind === "position") places.add(name);
    }
  names = all;
  positions = [...places];
}

function look(): void {
  const state = presentState();
  if (link.peek().phase !== "live" || state.legacy) return;
  if (era !== state.era) {
    [era, part, named, namesAt] = [state.era, null, new Set(), -NAMES_MS]; // a new connection
    isNarrow.value = false;
    novel.clear();
  }
  const now = performance.now();
  findNames(state, now);
  const filtered = namesWith(parsedQuery.peek().reads, names);
  const all = !filtered;
  if (all) wholeUntil = now + REST_MS;
  const next = nextPart(part, [...[...visible].map(({ uid }) => uid), ...novelNow(now)], all || (!part && now < wholeUntil), now - partAt > REST_MS);
  const hasMap = screen.peek() === "map" || settings.map.peek();
  const wanted = new Set([...FACTS, "suit_state", ...(hasMap ? positions : []), ...(sortedBy.peek() ? [sortedBy.peek()] : []), ...(filtered ?? [])]);
  // Readings with a name that were left out until now come with the state of all nodes.
  const isNew = !!part && !!next && [...wanted].some((name) => !named.has(name));
  if (isNew && now - stateAt < STATE_MS) return; // the next time
  const isLess = wanted.size < named.size && now - partAt > REST_MS;
  if (next === part && (!part || (!isNew && !isLess))) return;
  const before = part;
  part = next;
  named = wanted;
  partAt = now;
  if (isNew || !part) stateAt = now;
  isNarrow.value = part !== null;
  if (!part) return subscribe({ type: "subscribe" }, true);
  for (const uid of before ?? state.nodes.keys()) if (!part.has(uid)) interrupt(state.nodes.get(uid), state.offset);
  subscribe({ type: "subscribe", readings_of: [...part], readings_named: [...named] }, isNew);
}

/** Its readings are not received from now on: its lines show a gap. */
function interrupt(node: Node | undefined, offset: number): void {
  for (const resource of node?.resources.values() ?? []) gap(resource, clock() + offset);
}
