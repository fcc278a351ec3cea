// SPDX-License-Identifier: BSD-3-Clause
/** Which nodes come first, in which order and in which groups. */
import { natural } from "./order";
import type { Node } from "./types";

export const GROUPS = ["", "room", "tag", "gateway"] as const;
export type Group = (typeof GROUPS)[number];

export interface Layout {
  group: Group;
  /** Uids of nodes that come first. */
  pins: readonly string[];
  /** Uids in the order that people gave them; all other nodes follow by name. */
  order: readonly string[];
  /** The resource that the fleet shows; empty: the first number of each node. */
  value: string;
  /** The range of charts, such as `24h`; empty: that of this browser. */
  range: string;
}

/** The broker keeps no more of one view. */
export const PINS_MAX = 100;
export const ORDER_MAX = 500;

/** The nodes, which come in natural order: pinned ones first, then those with a place, then the rest. */
export function arrange(nodes: Node[], { pins, order }: Pick<Layout, "pins" | "order">): Node[] {
  if (!pins.length && !order.length) return nodes;
  const places = new Map(order.map((uid, index) => [uid, index]));
  pins.forEach((uid, index) => places.set(uid, index - pins.length));
  const place = ({ uid }: Node): number => places.get(uid) ?? Infinity;
  // Equal places keep the natural order.
  return [...nodes].sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}

/**
 * The layout after node `uid` was moved before or behind others, or null if it cannot be moved there.
 * `shown`: the uids as they are shown. Pinned nodes move among pinned ones.
 */
export function move(shown: readonly string[], layout: Layout, uid: string, to: number): Layout | null {
  const isPinned = layout.pins.includes(uid);
  const pinned = shown.filter((it) => layout.pins.includes(it));
  const part = isPinned ? pinned : shown.filter((it) => !layout.pins.includes(it));
  const from = part.indexOf(uid);
  const target = Math.min(part.length - 1, Math.max(0, to - (isPinned ? 0 : pinned.length)));
  if (from < 0 || from === target) return null;
  const moved = part.filter((it) => it !== uid);
  moved.splice(target, 0, uid);
  if (isPinned) return { ...layout, pins: [...moved, ...layout.pins.filter((it) => !moved.includes(it))] };
  // Only the places up to the last moved one are fixed: new nodes come in by name behind them.
  const fixed = Math.max(from, target, moved.findLastIndex((it) => layout.order.includes(it)));
  const order = moved.slice(0, fixed + 1);
  const others = layout.order.filter((it) => !order.includes(it) && !shown.includes(it));
  return order.length > ORDER_MAX ? null : { ...layout, order: [...order, ...others].slice(0, ORDER_MAX) };
}

export interface NodeGroup {
  /** Empty: the nodes without one. */
  name: string;
  nodes: Node[];
}

/** The nodes by room, tag or gateway, in natural order; a node is in the group of each of its tags. */
export function groupsOf(nodes: readonly Node[], group: Group): NodeGroup[] {
  const groups = new Map<string, Node[]>();
  for (const node of nodes) {
    for (const name of namesOf(node, group)) {
      const found = groups.get(name);
      if (found) found.push(node);
      else groups.set(name, [node]);
    }
  }
  return [...groups].sort(([a], [b]) => Number(!a) - Number(!b) || natural(a, b)).map(([name, its]) => ({ name, nodes: its }));
}

function namesOf({ registered, gateway }: Node, group: Group): readonly string[] {
  if (group === "gateway") return [gateway];
  if (group === "room") return [registered?.room ?? ""];
  return registered?.tags.length ? registered.tags : [""];
}

/** Whether two layouts show the same. */
export const isSame = (a: Layout, b: Layout): boolean =>
  a.group === b.group && a.value === b.value && a.range === b.range && String(a.pins) === String(b.pins) && String(a.order) === String(b.order);
