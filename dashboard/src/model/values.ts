// SPDX-License-Identifier: BSD-3-Clause
/** How a value of a node becomes a number with samples, or a text. */
import type { LastValue, ResourceType } from "../messages";
import { FACTS, readPosition, readQuantity, readVectors, spelled, textOf, type Quantity } from "./readings";
import { typeOf } from "./resourceTypes";
import { Ring, SAMPLES_WATCHED } from "./ring";
import type { Node, Resource, State } from "./types";

/** What a value may change besides its node. */
export type Effects = Pick<State, "legacy" | "types" | "membership" | "reshaped">;

/** Take the value, received at `ts`; 0: unknown. `isMade`: there was none. Returns its resource. */
export function takeValue(state: Effects, node: Node, message: LastValue, ts: number, isMade = false): Resource {
  const name = message.endpoint.replace(/^\//, ""); // legacy nodes may send "/led"
  let resource = node.resources.get(name);
  if (!resource) {
    resource = newResource(node, name, message.endpoint, typeOf(state, node.uid, name));
    node.resources.set(name, resource);
    state.reshaped.add(node);
  }
  resource.last = isMade ? null : message;
  if (message.retained) ts = 0; // a value without a time
  const news = resource.ts !== ts || resource.forgotten !== undefined;
  resource.ts = ts;
  resource.forgotten = undefined;
  const quantity = readQuantity(name, resource.type.kind, message, state.legacy);
  if (quantity) {
    if (resource.kind !== "number") state.reshaped.add(node);
    resource.kind = "number";
    resource.value = quantity.value;
    resource.digits = digitsOf(quantity, resource.type);
    resource.unit = quantity.unit || spelled(resource.type.unit);
    resource.unread = "";
    if (ts && !node.left && (news || !resource.ring)) sample(resource, ts, quantity.value);
  } else if (resource.kind === "number") {
    resource.unread = textOf(message.data); // the last valid value stays, and is marked
    gap(resource, ts);
  } else {
    takeText(state, resource, message.data, ts);
  }
  return resource;
}

const digitsOf = ({ value, digits }: Quantity, { precision }: ResourceType): string =>
  precision === undefined ? digits : value.toFixed(Math.min(9, Math.max(0, precision)));

function newResource(node: Node, name: string, endpoint: string, type: ResourceType): Resource {
  return {
    node,
    type,
    last: null,
    name,
    endpoint,
    kind: "text",
    text: "",
    value: NaN,
    digits: "",
    unit: "",
    ts: 0,
    unread: "",
    forgotten: undefined,
    ring: null,
    vectors: null,
    command: null,
    trigger: null,
    noted: false,
  };
}

function takeText(state: Effects, resource: Resource, data: unknown, ts: number): void {
  const { node, name } = resource;
  const before = resource.text;
  resource.text = textOf(data);
  if (resource.type.kind === "position" && (name === "position" || !node.resources.has("position"))) {
    const had = node.position;
    node.position = readPosition(data);
    if (!had !== !node.position) state.membership += 1;
  } else if (name === "imu") {
    takeVectors(state, resource, data, ts);
  } else if (FACTS.has(name) && before !== resource.text) {
    if (name === "name") {
      node.name = resource.text.trim();
      state.membership += 1; // its place in the order
    }
    state.reshaped.add(node);
  }
}

function takeVectors(state: Effects, resource: Resource, data: unknown, ts: number): void {
  const parts = readVectors(data);
  if (!parts) return;
  if (!resource.vectors) state.reshaped.add(resource.node);
  resource.vectors ??= new Map();
  for (const { type, values } of parts) {
    let vector = resource.vectors.get(type);
    if (!vector) {
      if (resource.vectors.size >= 4) continue;
      vector = { values, rings: values.map(() => newRing(resource.node)) };
      resource.vectors.set(type, vector);
    }
    vector.values = values;
    if (ts) vector.rings.forEach((ring, axis) => ring.push(ts, values[axis] ?? NaN));
  }
}

const newRing = (node: Node): Ring => (node.watched ? new Ring(SAMPLES_WATCHED) : new Ring());

function sample(resource: Resource, ts: number, value: number): void {
  resource.ring ??= newRing(resource.node);
  resource.ring.push(ts, value);
}

export function gap(resource: Resource, ts: number): void {
  resource.ring?.gap(ts);
  for (const vector of resource.vectors?.values() ?? []) for (const ring of vector.rings) ring.gap(ts);
}
