// SPDX-License-Identifier: BSD-3-Clause
/** Takes over what the broker describes of resources. */
import type { ResourceType } from "../messages";
import { typeOf } from "./resourceTypes";
import type { Node, State } from "./types";
import { takeValue } from "./values";

/** The broker described resources of a node, which may not be online yet. An empty type: no more. */
export function describe(state: State, uid: string, types: Record<string, ResourceType>): void {
  const known = state.types.get(uid) ?? new Map<string, ResourceType>();
  for (const [name, type] of Object.entries(types)) {
    if (Object.keys(type).length) known.set(name, type);
    else known.delete(name);
  }
  if (known.size) state.types.set(uid, known);
  else state.types.delete(uid);
  for (const node of [state.nodes.get(uid), state.offline.get(uid)]) if (node) retype(state, node);
}

/** Its resources have their types now. Described ones without a value, such as a button, are there too. */
export function retype(state: State, node: Node): void {
  for (const resource of node.resources.values()) {
    const type = typeOf(state, node.uid, resource.name);
    if (type === resource.type) continue;
    resource.type = type;
    resource.kind = "text";
    if (resource.last) takeValue(state, node, resource.last, resource.ts);
  }
  for (const [name, { writable }] of state.types.get(node.uid) ?? [])
    if (writable && !node.resources.has(name)) takeValue(state, node, { endpoint: name, data: "" }, 0, true);
  state.reshaped.add(node);
}
