// SPDX-License-Identifier: BSD-3-Clause
/** Which rows of a long list are on screen. Rows have fixed heights, so that none is measured. */
import type { NodeGroup } from "./layout";
import type { Node } from "./types";

/** A row of tiles, or the head of a group. */
export interface FleetRow {
  top: number;
  nodes: readonly Node[];
  /** Place of its first node in the list. */
  first: number;
  head: NodeGroup | null;
}

export interface FleetRows {
  rows: FleetRow[];
  height: number;
  nodes: number;
}

export interface Heights {
  tile: number;
  head: number;
}

/** The rows of groups, of which closed ones have only a head. */
export function fleetRows(groups: readonly (NodeGroup & { isOpen: boolean; hasHead: boolean })[], columns: number, { tile, head }: Heights): FleetRows {
  const rows: FleetRow[] = [];
  let top = 0;
  let first = 0;
  for (const group of groups) {
    if (group.hasHead) {
      rows.push({ top, nodes: [], first, head: group });
      top += head;
    }
    if (!group.isOpen) continue;
    for (let index = 0; index < group.nodes.length; index += columns) {
      const nodes = group.nodes.slice(index, index + columns);
      rows.push({ top, nodes, first, head: null });
      first += nodes.length;
      top += tile;
    }
  }
  return { rows, height: top, nodes: first };
}

/** Indices of the rows between two heights; the second one is not included. */
export function visibleRows({ rows }: FleetRows, from: number, to: number): [first: number, end: number] {
  return [Math.max(0, firstAfter(rows, from) - 1), firstAfter(rows, to)];
}

/** Rows of one height between two heights, in steps; the second one is not included. */
export const rowsBetween = (from: number, to: number, height: number, step: number): [first: number, end: number] => [
  Math.max(0, Math.floor(from / height / step) * step),
  Math.max(0, Math.ceil(to / height / step) * step),
];

/** Index of the first row that begins after `height`. */
function firstAfter(rows: readonly FleetRow[], height: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top <= height) low = middle + 1;
    else high = middle;
  }
  return low;
}
