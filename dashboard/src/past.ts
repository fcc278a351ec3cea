// SPDX-License-Identifier: BSD-3-Clause
/** The page at a past time: values and states from the history, in place of what is now. */
import { signal } from "@preact/signals";
import { readLatest, readState, type PastNode } from "./history";
import { touch } from "./model/changes";
import { pastNode } from "./model/pastNode";
import { SAMPLES } from "./model/ring";
import { findNode, newState, type Node, type State } from "./model/state";
import { clock, past, presentState, receive, redraw, showState, state } from "./store";
import { withGaps } from "./series";

/** Pages of one state. A system with more readings shows the first ones. */
const PAGES_MAX = 20;
/** Sparklines that are read after a jump. */
const SPARKS_MAX = 24;
const SPARK_S = 86_400;

/** Counts the jumps: what was drawn before them does not go on. */
export const jumps = signal(0);
/** Nothing was recorded at the time that is shown. */
export const unrecorded = signal(false);

let shown: State | null = null;
let reading: AbortController | null = null;

/** The broker's time now. */
export const brokerNow = (): number => clock() + presentState().offset;

/** Show a past time. `isJump`: not the next moment of what is played. Throws with the reason. */
export async function show(at: number, isJump: boolean): Promise<void> {
  reading?.abort();
  const cancel = (reading = new AbortController());
  const nodes: PastNode[] = [];
  let [cursor, wasRecorded] = ["", true];
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await readState(at, { cursor }, cancel.signal);
    nodes.push(...answer.nodes);
    wasRecorded = answer.was_recorded;
    if (answer.next === null) break;
    cursor = answer.next;
  }
  if (cancel.signal.aborted) return;
  unrecorded.value = !wasRecorded;
  const now = presentState();
  shown ??= { ...newState(0), joined: true, live: true };
  const it = shown;
  Object.assign(it, { types: now.types, gateways: now.gateways, activity: now.activity, commands: new Map(), brokerVersion: now.brokerVersion, era: now.era, alertsVersion: now.alertsVersion });
  it.offset = at - clock();
  // What is played goes on; after a jump, lines begin anew.
  if (isJump) for (const node of it.nodes.values()) for (const resource of node.resources.values()) resource.ring = resource.vectors = null;
  const seen = new Set<string>();
  const changed = new Set<Node>();
  for (const node of nodes) {
    seen.add(node.uid);
    changed.add(pastNode(it, node, now.registry.get(node.uid), at, findNode(now, node.uid)?.name));
  }
  for (const uid of [...it.nodes.keys()])
    if (!seen.has(uid)) {
      it.nodes.delete(uid);
      it.registry.delete(uid);
    }
  it.changed = [];
  it.reshaped = new Set();
  showState(it, at);
  for (const node of changed) {
    state.reshaped.add(node);
    for (const resource of node.resources.values()) touch(state, resource);
  }
  receive([]); // draws
  if (!isJump) return;
  jumps.value += 1;
  void sparklines(it, at, cancel.signal);
}

/** The time that is shown, between two moments that were read. */
export function hold(at: number): void {
  if (past.peek()) state.offset = at - clock();
}

/** Show what is now again. */
export function leave(): void {
  reading?.abort();
  showState(null);
  shown = null;
  unrecorded.value = false;
  jumps.value += 1;
  redraw();
}

/** Read the lines of what is visible, as on a page that has just been opened. */
async function sparklines({ nodes }: State, at: number, signal: AbortSignal): Promise<void> {
  const resources = [...nodes.values()]
    .filter(({ visible }) => visible)
    .flatMap((node) => [...node.resources.values()])
    .filter(({ kind }) => kind === "number")
    .slice(0, SPARKS_MAX);
  for (const resource of resources) {
    if (signal.aborted) return;
    const samples = await readLatest(resource, at - SPARK_S, at, SAMPLES).catch(() => []);
    const { ring } = resource;
    if (signal.aborted || !ring?.length) continue;
    ring.precede(withGaps([...samples.filter(([time]) => time < ring.time(0)), [ring.time(0), ring.value(0)]]).slice(0, -1));
    touch(state, resource);
    receive([]);
  }
}
