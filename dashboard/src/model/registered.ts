// SPDX-License-Identifier: BSD-3-Clause
/** Nodes of the registry: every node that was ever seen, and what people added. */
import type { RegisteredNode } from "../messages";
import { happen } from "./changes";
import { newNode, type Node, type Registered, type State } from "./types";
import { takeValue } from "./values";

/** Take over what the registry has of a node. */
export function register(state: State, message: RegisteredNode, now: number): void {
  const { uid } = message;
  const before = state.registry.get(uid);
  const registered = registeredOf(message, state.era, before?.state === "offline");
  state.registry.set(uid, registered);
  state.offline.delete(uid);
  state.membership += 1;
  const node = state.nodes.get(uid);
  if (node) {
    node.registered = registered;
    if (node.left && registered.state === "banned") file(state, node);
    state.reshaped.add(node);
  }
  if (state.joined && registered.state === "waiting" && before?.state !== "waiting")
    happen(state, now, { kind: "joined", what: "event.waiting", uid, detail: registered.gateway, good: true });
}

/** A node was removed from the registry. */
export function forget(state: State, uid: string): void {
  state.registry.delete(uid);
  state.types.delete(uid);
  state.offline.delete(uid);
  state.membership += 1;
  const node = state.nodes.get(uid);
  if (!node) return;
  node.registered = null;
  state.reshaped.add(node);
  if (!node.left) return;
  state.nodes.delete(uid);
  state.reshaped.delete(node);
}

/** The node is no card any more, but in the list of offline nodes. */
export function file(state: State, node: Node): void {
  if (node.left) node.left.filed = true;
  state.membership += 1;
}

/** The node, online or not; one that is only in the registry is made from its last values. */
export function findNode(state: State, uid: string): Node | undefined {
  const known = state.nodes.get(uid) ?? state.offline.get(uid);
  const registered = state.registry.get(uid);
  if (known || !registered || registered.state === "online") return known;
  const node = newNode(uid, registered.gateway, registered.firstSeen, state);
  node.registered = registered;
  node.lastSeen = registered.lastSeen;
  node.left = { reason: registered.reason, at: registered.lastSeen - state.offset, ts: registered.lastSeen, filed: true };
  const effects = { legacy: false, types: state.types, membership: 0, reshaped: new Set<Node>() };
  for (const value of registered.values) if (typeof value?.endpoint === "string") takeValue(effects, node, value, value.ts ?? 0);
  state.offline.set(uid, node);
  return node;
}

/** Whether the node is in the list of offline nodes, and no card. */
export function isFiled(state: State, { uid, state: how }: Registered): boolean {
  if (how !== "offline" && how !== "banned") return false;
  const left = state.nodes.get(uid)?.left;
  return left === undefined || (left !== null && left.filed);
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const number = (value: unknown): number => (typeof value === "number" ? value : 0);

function registeredOf(message: RegisteredNode, era: number, returned: boolean): Registered {
  const { latitude: lat, longitude: lng } = message;
  return {
    uid: message.uid,
    state: message.state,
    protocol: text(message.protocol),
    gateway: text(message.gateway),
    firstSeen: number(message.first_seen),
    lastSeen: number(message.last_seen),
    boots: number(message.boots),
    reason: text(message.reason),
    revision: number(message.revision),
    label: text(message.label),
    room: text(message.room),
    tags: (message.tags ?? []).filter((tag) => typeof tag === "string"),
    notes: text(message.notes),
    interval: number(message.interval),
    offlineAfter: number(message.offline_after),
    place: typeof lat === "number" && typeof lng === "number" ? { lat, lng } : null,
    types: message.types ?? {},
    values: message.values ?? [],
    era,
    returned,
  };
}
