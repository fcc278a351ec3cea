// SPDX-License-Identifier: BSD-3-Clause
/**
 * What the page knows, and what each message changes in it. No socket, no clock, no document.
 * `now` is the page's own clock, `ts` the broker's, both in seconds. All that a node can name is
 * a key of a Map, never of a plain object: a node may be called `__proto__`.
 */
export const SAMPLES = 120; // of one sparkline
export const STALE_S = 120; // a value older than this is stale
export const LEFT_S = 60; // a node that left stays this long
export const FORGOTTEN_S = 30; // a value from before a reboot is waited for this long
export const ANSWER_S = 5; // a command's deadline
const GRACE_S = 2; // the broker says itself that nobody answered; after this we do
const CONFIRMED_S = 4; // a good result is shown this long
const FAILED_S = 30; // a bad one

/** What describes a node, and does not move. */
export const FACTS = new Set("name os board mcu vendor version ip protocol id".split(" "));
const TEXTS = new Set("text webcam js twitter".split(" "));
const NUMBER = /^\s*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d{1,3})?)\s*([^\d\s.,:;+-]\S{0,9})?\s*$/i;

export const newState = (offset) => ({
  joined: false, // the burst that answers our `new` is complete
  legacy: false, // the broker gives no receipts, units or times
  offset, // the broker's clock minus ours
  era: 0, // counts connections, to find out who did not come back
  nodes: new Map(),
  gateways: new Map(),
  commands: new Map(), // id → the resource that waits for the receipt
  changed: new Set(), // nodes to draw again; the one who draws empties it
  problem: "",
});

/** Take in one message of the broker, or one of our own: `opened`, `lost`, `asked`. */
export function reduce(state, message, now) {
  const ts = typeof message.ts === "number" ? message.ts : now + state.offset;
  switch (message.type) {
    case "new":
      appear(state, message, ts);
      break;
    case "update":
      update(state, message, ts, now);
      break;
    case "reset":
      for (const resource of appear(state, message, ts).resources.values()) {
        resource.forgotten = now;
        gap(resource);
      }
      break;
    case "out":
      leave(state, state.nodes.get(message.uid), message.reason ?? "left", now);
      break;
    case "gateway":
      state.gateways.set(message.name, { ...message, era: state.era });
      break;
    case "receipt":
      finish(state, message.id, message.state, message.detail ?? "", now, message.elapsed_ms);
      break;
    case "error":
      state.problem = message.detail;
      break;
    case "joined":
      if (!state.legacy) state.offset = ts - now;
      state.joined = true;
      for (const [name, gateway] of state.gateways)
        if (gateway.era !== state.era) state.gateways.delete(name);
      for (const node of state.nodes.values())
        if (node.era !== state.era) leave(state, node, "left while the broker was lost", now);
      break;
    case "opened":
      state.legacy = message.legacy;
      state.era += 1;
      break;
    case "lost":
      for (const id of [...state.commands.keys()]) finish(state, id, "lost", "", now);
      for (const node of state.nodes.values()) node.resources.forEach(gap);
      break;
    case "asked":
      message.resource.command = { ...message, state: "pending", at: now };
      state.commands.set(message.id, message.resource);
      state.changed.add(message.resource.node);
  }
}

/** What time alone changes. Call it about once a second. */
export function tick(state, now) {
  for (const [id, { command }] of state.commands)
    if (now - command.at > ANSWER_S + (state.legacy ? 0 : GRACE_S))
      finish(state, id, "timeout", "", now);
  for (const node of state.nodes.values()) {
    if (node.left && now - node.left.at > LEFT_S) {
      state.nodes.delete(node.uid);
      state.changed.delete(node);
    }
    for (const [name, resource] of node.resources)
      if (now - resource.forgotten > FORGOTTEN_S) node.resources.delete(name);
      else if (resource.command && now - resource.command.at > shownFor(resource.command))
        resource.command = null;
  }
}

const shownFor = ({ state }) =>
  state === "pending" ? Infinity : state === "confirmed" ? CONFIRMED_S : FAILED_S;

function appear(state, { uid, gateway }, ts) {
  let node = state.nodes.get(uid);
  if (!node) {
    node = { uid, name: "", gateway, since: ts, fresh: state.joined, resources: new Map() };
    state.nodes.set(uid, node);
  }
  node.gateway = gateway ?? node.gateway;
  node.left = null;
  node.era = state.era;
  state.changed.add(node);
  return node;
}

function leave(state, node, reason, now) {
  if (!node || node.left) return;
  node.left = { reason, at: now };
  node.resources.forEach(gap);
  state.changed.add(node);
}

function update(state, message, ts, now) {
  const node = appear(state, message, ts);
  const name = message.endpoint.replace(/^\//, ""); // legacy nodes may say "/led"
  let resource = node.resources.get(name);
  if (!resource) {
    resource = { node, name, endpoint: message.endpoint, kind: "text", text: "", unread: "" };
    node.resources.set(name, resource);
  }
  const { data } = message;
  const text = typeof data === "string" ? data : JSON.stringify(data);
  const news = resource.ts !== ts || resource.forgotten !== undefined;
  Object.assign(resource, { ts, forgotten: undefined, unread: "" });

  const number = FACTS.has(name) || TEXTS.has(name) ? null : quantity(state, message, text);
  if (name === "led") {
    resource.kind = "switch";
    resource.text = text;
    const { command } = resource;
    if (command) command.heard = true;
    if (state.legacy && command?.state === "pending" && command.payload === text)
      finish(state, command.id, "confirmed", "", now);
  } else if (number) {
    Object.assign(resource, number, { kind: "number" });
    if (news || !resource.ring) sample(resource, number.value);
  } else if (resource.kind === "number") {
    resource.unread = text; // the last good value stays, and says so
    gap(resource);
  } else {
    resource.text = readable(resource, text);
    if (name === "name") node.name = text.trim();
  }
}

/** The number as the device wrote it; a legacy broker leaves the reading of it to us. */
function quantity(state, { value, unit, data }, text) {
  const [, digits, written] = (typeof data === "object" ? null : NUMBER.exec(text)) ?? [];
  if (typeof value === "number")
    return digits
      ? { value, digits, unit: written ?? "" }
      : { value, digits: String(+value.toPrecision(6)), unit: unit ?? "" };
  return state.legacy && digits ? { value: +digits, digits, unit: written ?? "" } : null;
}

function sample(resource, value) {
  resource.ring ??= { values: new Float64Array(SAMPLES).fill(NaN), next: 0 };
  const { ring } = resource;
  ring.values[ring.next] = value;
  ring.next = (ring.next + 1) % SAMPLES;
}

/** Nothing is known from here on: the line breaks, once. */
function gap(resource) {
  const { ring } = resource;
  if (ring && !Number.isNaN(ring.values.at(ring.next - 1))) sample(resource, NaN);
}

/** Positions and inertial units in words; everything else as it came. */
function readable(resource, text) {
  if (!/^[[{]/.test(text) || text.length > 4096) return text;
  try {
    const data = JSON.parse(text);
    if (typeof data.lat === "number" && typeof data.lng === "number")
      return `${data.lat}, ${data.lng}`;
    if (data.length && data.every((part) => Array.isArray(part.values))) {
      resource.parts ??= new Map(); // acceleration and rotation may come one by one
      if (resource.parts.size > 4) resource.parts.clear();
      for (const part of data.slice(0, 4)) resource.parts.set(part.type, part.values.join("  "));
      return [...resource.parts].map((pair) => pair.join("  ")).join("\n");
    }
  } catch {
    // Not what it looked like.
  }
  return text;
}

function finish(state, id, outcome, detail, now, elapsed) {
  const resource = state.commands.get(id);
  if (!resource) return;
  state.commands.delete(id);
  const { payload, heard } = resource.command;
  resource.command = { payload, state: outcome, detail, elapsed, at: now };
  // The node took the write. What it says itself is worth more; else that is its state.
  if (outcome === "confirmed" && !heard) {
    resource.text = payload;
    resource.ts = now + state.offset;
  }
  state.changed.add(resource.node);
}
