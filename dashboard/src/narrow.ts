// SPDX-License-Identifier: BSD-3-Clause
/**
 * A page with many nodes asks the broker for the readings that it shows: those of the nodes on
 * screen, and of all nodes what summary, names and filters need. The broker sends everything else
 * about all nodes, and names every few seconds those that sent readings.
 */
import { signal } from "@preact/signals";
import { nextPart } from "./model/part";
import { FACTS } from "./model/readings";
import type { Node, State } from "./model/state";
import { gap } from "./model/values";
import { parsedQuery, presentState, clock, link, subscribe, taps, visible } from "./store";
import { screen } from "./route";
import { settings } from "./settings";

const LOOK_MS = 200;
/** The page goes back from everything to a part after this time: a search is typed in steps. */
const REST_MS = 10_000;
/** Names of resources that are positions are looked for again after this time. */
const POSITIONS_MS = 5000;

/** Whether the page gets only some of the readings. */
export const isNarrow = signal(false);
/** The resource by which the table is sorted; empty: by none. */
export const sortedBy = signal("");

/** Nodes that appeared or rebooted: what they have is asked for also if they are not on screen, */
const novel = new Map<string, number>();
/** this many at a time, */
const NOVEL_MAX = 500;
/** and each for this time, in ms; for less while others wait. */
const NOVEL_MS = 10_000;
const NOVEL_SHORT_MS = 2000;

let part: ReadonlySet<string> | null = null;
let era = 0;
let named = "";
let wholeUntil = 0;
/** When the part changed. */
let partAt = 0;
let positions: string[] = [];
let positionsAt = -POSITIONS_MS;
let timer = 0;

/** From now on, ask for what is shown. A second call changes nothing. */
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

/** The resources that place nodes on a map. */
function positionNames(state: State, now: number): string[] {
  if (now - positionsAt < POSITIONS_MS) return positions;
  positionsAt = now;
  const names = new Set(["position"]);
  for (const { resources } of state.nodes.values()) for (const { name, type } of resources.values()) if (type.kind === "position") names.add(name);
  return (positions = [...names]);
}

function look(): void {
  const state = presentState();
  if (link.peek().phase !== "live" || state.legacy) return;
  if (era !== state.era) {
    [era, part, named] = [state.era, null, ""]; // a new connection
    isNarrow.value = false;
    novel.clear();
  }
  const now = performance.now();
  const all = parsedQuery.peek().reads;
  if (all) wholeUntil = now + REST_MS;
  const next = nextPart(part, [...[...visible].map(({ uid }) => uid), ...novelNow(now)], all || (!part && now < wholeUntil), now - partAt > REST_MS);
  const hasMap = screen.peek() === "map" || settings.map.peek();
  const names = [...new Set([...FACTS, "suit_state", ...(hasMap ? positionNames(state, now) : []), ...(sortedBy.peek() ? [sortedBy.peek()] : [])])];
  if (next === part && (!part || names.join() === named)) return;
  const [before, known] = [part, named];
  part = next;
  named = names.join();
  partAt = now;
  isNarrow.value = part !== null;
  if (!part) return subscribe({ type: "subscribe" }, true);
  for (const uid of before ?? state.nodes.keys()) if (!part.has(uid)) interrupt(state.nodes.get(uid), state.offset);
  // Readings with a name that were left out until now come with the state of all nodes.
  const isNew = names.some((name) => !known.split(",").includes(name));
  subscribe({ type: "subscribe", readings_of: [...part], readings_named: names }, !!before && isNew);
}

/** Its readings are not received from now on: its lines show a gap. */
function interrupt(node: Node | undefined, offset: number): void {
  for (const resource of node?.resources.values() ?? []) gap(resource, clock() + offset);
}
