// SPDX-License-Identifier: BSD-3-Clause
/**
 * The state of the page, and how each message changes it. No socket, no clock, no document.
 *
 * `now` is the page's own clock, `ts` the broker's, both in seconds. Names from nodes are
 * keys of a Map, never of a plain object: a node may be called `__proto__`. Changes are collected in
 * `changed` and `reshaped`, which the store empties once per frame.
 */
import type { ToClient } from "../messages";
import { happen, remember, touch } from "./changes";
import { finish, issue, shownFor } from "./commands";
import type { Position } from "./readings";
import { describe, retype } from "./described";
import { file, forget, register } from "./registered";
import { SAMPLES_WATCHED } from "./ring";
import { gap, takeValue } from "./values";
import {
  STALE_S,
  QUIET_S,
  LEFT_S,
  LEFT_MAX,
  FORGOTTEN_S,
  DISCOVERY_S,
  ANSWER_S,
  GRACE_S,
  newNode,
  type Resource,
  type Node,
  type State,
} from "./types";

export { findNode, isFiled } from "./registered";
export * from "./types";

/** Events of the page itself. */
export type LocalEvent =
  | { type: "opened"; legacy: boolean }
  | { type: "lost"; reason: string }
  | { type: "command_sent"; id: string; resource: Resource; payload: string };

/** Apply a message of the broker or an event of the page. */
export function reduce(state: State, message: ToClient | LocalEvent, now: number): void {
  switch (message.type) {
    case "new":
      arrive(state, message, now);
      remember(state, message);
      break;
    case "update":
      update(state, message, stamp(state, message.ts, now), now);
      remember(state, message);
      break;
    case "reset":
      reset(state, message.uid, stamp(state, message.ts, now), now);
      remember(state, message);
      break;
    case "out":
      remember(state, message);
      leave(state, state.nodes.get(message.uid), message.reason ?? "left", now);
      break;
    case "gateway":
      gateway(state, message, now);
      break;
    case "node":
      register(state, message, now);
      break;
    case "describe":
      describe(state, message.uid, message.types);
      break;
    case "alerts":
      state.alertsVersion += 1;
      break;
    case "views":
      state.viewsVersion += 1;
      break;
    case "forgotten":
      forget(state, message.uid);
      break;
    case "ignored": {
      const of = state.gateways.get(message.gateway ?? "");
      if (of) {
        of.ignored = { count: message.count, topic: message.topic, topics: message.topics ?? [] };
        of.refused = { count: message.refused ?? 0, refusal: message.refusal ?? "" };
      }
      state.membership += 1;
      break;
    }
    case "receipt":
      finish(state, message.id, message.state, message.detail ?? "", now, message.elapsed_ms);
      break;
    case "error":
      happen(state, now, { kind: "error", what: "event.problem", detail: message.detail, uid: message.uid ?? "", good: false });
      break;
    case "hello":
      state.brokerVersion = message.version ?? "";
      break;
    case "seen":
      for (const uid of message.uids) {
        const node = state.nodes.get(uid);
        if (node && !node.left) see(state, node, stamp(state, message.ts, now), now);
      }
      break;
    case "joined":
      joined(state, stamp(state, message.ts, now), now);
      break;
    case "opened":
      state.alertsVersion += 1; // it may have changed meanwhile
      state.viewsVersion += 1;
      state.legacy = message.legacy;
      state.era += 1;
      state.types.clear(); // the broker sends them again
      break;
    case "lost":
      lost(state, message.reason, now);
      break;
    case "command_sent":
      issue(state, message.id, message.resource, message.payload, now);
  }
}

const stamp = (state: State, ts: number | undefined, now: number): number =>
  ts ? ts : now + state.offset;

/** Apply what depends on time only. Call it about once a second. */
export function tick(state: State, now: number): void {
  for (const [id, { command }] of state.commands)
    if (command && now - command.at > ANSWER_S + (state.legacy ? 0 : GRACE_S))
      finish(state, id, "timeout", "", now);
  for (const node of state.nodes.values()) {
    if (node.left && !node.left.filed && now - node.left.at > LEFT_S) file(state, node);
    for (const [name, resource] of node.resources) {
      if (resource.forgotten !== undefined && now - resource.forgotten > FORGOTTEN_S) {
        node.resources.delete(name);
        state.reshaped.add(node);
      } else if (resource.command && now - resource.command.at > shownFor(resource.command)) {
        resource.command = null;
        touch(state, resource);
      }
    }
  }
}

export type NodeState = "live" | "quiet" | "stale" | "discovering" | "silent" | "left" | "lost" | "frozen" | "waiting" | "banned";

/** The current state of a node. `lost`: its gateway is lost, so the state is unknown. */
export function nodeState(state: State, node: Node, now: number): NodeState {
  const admission = node.registered?.state;
  if (admission === "waiting" || admission === "banned") return admission;
  if (node.left) return node.left.reason === "gateway lost" ? "lost" : "left";
  if (!state.live) return "frozen";
  if (!hasResources(node))
    return now + state.offset - (node.since || node.firstSeen) > DISCOVERY_S ? "silent" : "discovering";
  const age = now + state.offset - node.lastSeen;
  return age > staleAfter(node) ? "stale" : age > quietAfter(node) ? "quiet" : "live";
}

/** Seconds after which a value of the node is stale: two and a half of its own intervals, if it has one. */
export const staleAfter = ({ registered }: Node): number => (registered?.interval ? 2.5 * registered.interval : STALE_S);
const quietAfter = ({ registered }: Node): number => (registered?.interval ? 1.5 * registered.interval : QUIET_S);

function hasResources(node: Node): boolean {
  for (const name of node.resources.keys()) if (name !== "protocol" && name !== "ip" && name !== "id") return true;
  return false;
}

/** The position that the node reports, or else the one that people set. */
export const placeOf = ({ position, registered }: Node): Position | null => position ?? registered?.place ?? null;

/** Text of a fact of a node: `os`, `board` … */
export const fact = (node: Node, name: string): string => node.resources.get(name)?.text ?? "";

/** Keep more samples of a node from now on. */
export function watch(node: Node): void {
  node.watched = true;
  for (const { ring, vectors } of node.resources.values()) {
    ring?.grow(SAMPLES_WATCHED);
    for (const vector of vectors?.values() ?? []) for (const each of vector.rings) each.grow(SAMPLES_WATCHED);
  }
}

/** A node is online. A value of it may have been received before. */
function arrive(state: State, { uid, ts, gateway }: ToClient & { type: "new" }, now: number): void {
  const at = stamp(state, ts, now);
  const node = appear(state, uid, at, gateway);
  // A legacy broker sends no time: it is unknown for a node that was online before the page was opened.
  if (ts || state.joined) node.since = at;
  see(state, node, at, now);
  if (gateway !== undefined && gateway !== node.gateway) {
    node.gateway = gateway;
    state.reshaped.add(node);
  }
}

/** A sign of life. A clock ahead of the broker's does not keep a silent node alive. */
function see(state: State, node: Node, ts: number, now: number): void {
  node.lastSeen = Math.max(node.lastSeen, state.joined ? Math.min(ts, now + state.offset) : ts);
}

/** The node, online. It may be new here. */
function appear(state: State, uid: string, ts: number, gatewayName = ""): Node {
  let node = state.nodes.get(uid);
  if (!node) {
    node = newNode(uid, gatewayName, ts, state);
    node.fresh = state.joined;
    node.registered = state.registry.get(uid) ?? null;
    retype(state, node);
    state.nodes.set(uid, node);
    state.offline.delete(uid);
    state.membership += 1;
    const what = node.registered?.returned ? "event.returned" : "event.joined";
    if (state.joined) happen(state, ts - state.offset, { kind: "joined", what, uid, detail: gatewayName, good: true });
  }
  if (node.left) {
    node.left = null;
    node.since = 0;
    node.firstSeen = ts;
    state.membership += 1;
    state.reshaped.add(node);
    if (state.joined) happen(state, ts - state.offset, { kind: "joined", what: "event.returned", uid, detail: "", good: true });
  }
  node.era = state.era;
  return node;
}

function reset(state: State, uid: string, ts: number, now: number): void {
  const node = appear(state, uid, ts);
  see(state, node, ts, now);
  for (const resource of node.resources.values()) {
    resource.forgotten = now;
    gap(resource, ts);
    touch(state, resource);
  }
  if (state.joined) happen(state, now, { kind: "reset", what: "event.reset", uid, detail: "", good: true });
}

function leave(state: State, node: Node | undefined, reason: string, now: number): void {
  if (!node || node.left) return;
  const ts = now + state.offset;
  node.left = { reason, at: now, ts, filed: false };
  for (const resource of node.resources.values()) gap(resource, ts);
  state.reshaped.add(node);
  state.membership += 1;
  happen(state, now, { kind: "left", what: "event.left", uid: node.uid, detail: reason, good: false });
  const gone = [...state.nodes.values()].filter((other) => other.left);
  if (gone.length > LEFT_MAX) {
    const first = gone.reduce((a, b) => ((a.left?.at ?? 0) <= (b.left?.at ?? 0) ? a : b));
    state.nodes.delete(first.uid);
    state.reshaped.delete(first);
  }
}

function update(state: State, message: ToClient & { type: "update" }, ts: number, now: number): void {
  const node = appear(state, message.uid, ts);
  if (!message.retained) see(state, node, ts, now);
  const resource = takeValue(state, node, message, ts);
  const { command } = resource;
  if (command) {
    command.reported = true;
    if (state.legacy && command.state === "pending" && command.payload === resource.text)
      finish(state, command.id, "confirmed", "", now);
  }
  touch(state, resource);
}

function gateway(state: State, message: ToClient & { type: "gateway" }, now: number): void {
  const before = state.gateways.get(message.name);
  state.gateways.set(message.name, {
    name: message.name,
    protocol: message.protocol ?? "",
    version: message.version ?? "",
    state: message.state,
    era: state.era,
    ignored: message.state === "connected" ? (before?.ignored ?? null) : null,
    refused: message.state === "connected" ? (before?.refused ?? null) : null,
  });
  state.membership += 1;
  if (state.joined && before?.state !== message.state)
    happen(state, now, {
      kind: "gateway",
      what: message.state === "connected" ? "event.gateway_connected" : "event.gateway_lost",
      uid: "",
      detail: message.name,
      good: message.state === "connected",
    });
}

function joined(state: State, ts: number, now: number): void {
  if (!state.legacy) state.offset = ts - now;
  const isBack = state.era > 1 && !state.live;
  state.joined = true;
  state.live = true;
  state.membership += 1;
  for (const [name, { era }] of state.gateways) if (era !== state.era) state.gateways.delete(name);
  for (const { uid, era } of state.registry.values()) if (era !== state.era) forget(state, uid);
  for (const node of state.nodes.values()) {
    if (node.era !== state.era) leave(state, node, "left while the broker was lost", now);
    node.lastSeen = Math.min(node.lastSeen, now + state.offset);
    retype(state, node);
    state.reshaped.add(node);
  }
  if (isBack) happen(state, now, { kind: "link", what: "event.back", uid: "", detail: "", good: true });
}

function lost(state: State, reason: string, now: number): void {
  const was = state.live;
  state.live = false;
  for (const id of [...state.commands.keys()]) finish(state, id, "lost", "", now);
  for (const node of state.nodes.values()) {
    for (const resource of node.resources.values()) gap(resource, now + state.offset);
    state.reshaped.add(node);
  }
  if (was) happen(state, now, { kind: "link", what: "event.lost", uid: "", detail: reason, good: false });
}
