// SPDX-License-Identifier: BSD-3-Clause
/** How many nodes are in which state. */
import { firmware } from "./firmware";
import { isFiled, nodeState, type State } from "./state";

export interface Summary {
  online: number;
  stale: number;
  /** They did not answer discovery. */
  silent: number;
  offline: number;
  /** Their gateway is lost. */
  lost: number;
  updateFailed: number;
}

export function summarise(state: State, now: number): Summary {
  const sum: Summary = { online: 0, stale: 0, silent: 0, offline: 0, lost: 0, updateFailed: 0 };
  for (const node of state.nodes.values()) {
    if (node.left) {
      if (node.left.filed && node.registered) continue; // counted below
      if (node.left.reason === "gateway lost") sum.lost += 1;
      else sum.offline += 1;
      continue;
    }
    const how = nodeState(state, node, now);
    if (how === "waiting" || how === "banned") continue;
    sum.online += 1;
    if (how === "stale") sum.stale += 1;
    if (how === "silent") sum.silent += 1;
    if (firmware(node)?.failed) sum.updateFailed += 1;
  }
  for (const registered of state.registry.values()) if (registered.state === "offline" && isFiled(state, registered)) sum.offline += 1;
  return sum;
}
