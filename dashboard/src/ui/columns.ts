// SPDX-License-Identifier: BSD-3-Clause
/** The resources that most nodes have: columns of the table, values of the fleet. */
import { natural } from "../model/order";
import { FACTS } from "../model/readings";
import type { Node } from "../model/state";
import { settings } from "../settings";

const COLUMNS_MAX = 12;

/** Names of numbers and switches, most common first. */
export function columnsOf(nodes: readonly Node[]): string[] {
  const counts = new Map<string, number>();
  const hidden = settings.hiddenResources.value;
  for (const { resources } of nodes)
    for (const { name, kind, type } of resources.values())
      if ((kind === "number" || type.kind === "boolean") && !FACTS.has(name) && !hidden.includes(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || natural(a[0], b[0])).slice(0, COLUMNS_MAX).map(([name]) => name);
}
