// SPDX-License-Identifier: BSD-3-Clause
/** A node as it was, made from the rows of the history. */
import type { PastNode } from "../history";
import { retype } from "./described";
import { spelled } from "./readings";
import { LEFT_S, newNode, type Node, type Registered, type State } from "./types";
import { takeValue } from "./values";

/** Put a node into a state, as it was at the time `at`. `now`: what the registry has of it today; `name`: its name today. */
export function pastNode(state: State, { uid, state: how, since, reason, resources }: PastNode, now: Registered | undefined, at: number, name = ""): Node {
  let node = state.nodes.get(uid);
  if (!node) {
    node = newNode(uid, now?.gateway ?? "", since || at, state);
    state.nodes.set(uid, node);
  }
  const isAway = how === "offline";
  node.left = isAway ? { reason, at: since - state.offset, ts: since, filed: at - since > LEFT_S } : null;
  node.since = isAway ? 0 : since;
  node.lastSeen = resources.reduce((last, { ts }) => Math.max(last, ts), 0);
  node.registered = now ? { ...now, state: isAway ? "offline" : "online", reason, lastSeen: isAway ? since : node.lastSeen, values: [], interval: now.interval } : null;
  if (node.registered) state.registry.set(uid, node.registered);
  const names = new Set(resources.map(({ name }) => name));
  for (const name of [...node.resources.keys()]) if (!names.has(name)) node.resources.delete(name);
  // A node that is offline keeps no samples: but its line ends where it left.
  const { left } = node;
  node.left = null;
  for (const { name, data, value, unit = "", ts } of resources)
    // As a device writes it: the history has the number and the unit.
    takeValue(state, node, { endpoint: name, data: unit ? `${String(data)} ${spelled(unit)}` : data, value, unit, ts }, ts);
  node.left = left;
  node.name ||= name; // the history starts after the name was sent
  retype(state, node);
  return node;
}
