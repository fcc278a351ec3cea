// SPDX-License-Identifier: BSD-3-Clause
/**
 * Messages between broker and page, in the JSON form `pyaiot.v2` (docs/reference/messages.md). The
 * legacy form is a subset with one object per frame, so one decoder serves both. Outside bytes become
 * these types here and nowhere else.
 */

export interface Hello {
  type: "hello";
  name: string;
  protocol: string;
  version?: string;
}
export interface GatewayState {
  type: "gateway";
  name: string;
  protocol?: string;
  version?: string;
  state: "connected" | "lost";
  ts?: number;
}
export interface Ignored {
  type: "ignored";
  gateway?: string;
  count: number;
  topic: string;
  /** The latest different topics, the latest last. */
  topics?: string[];
  ts?: number;
  /** Clients that the MQTT broker refused. */
  refused?: number;
  /** Which was the last, and why. */
  refusal?: string;
}
export interface NodeAppeared {
  type: "new";
  uid: string;
  ts?: number;
  gateway?: string;
}
export interface Reading {
  type: "update";
  uid: string;
  endpoint: string;
  data: unknown;
  ts?: number;
  /** Retained by an MQTT broker: its age is unknown. */
  retained?: boolean;
  value?: number;
  unit?: string;
}
export interface NodeReset {
  type: "reset";
  uid: string;
  ts?: number;
}
export interface NodeLeft {
  type: "out";
  uid: string;
  ts?: number;
  reason?: string;
}
/** The last value of a resource of a node that is offline or waits. */
export interface LastValue {
  endpoint: string;
  data: unknown;
  ts?: number;
  retained?: boolean;
  value?: number;
  unit?: string;
}
/** What the registry has of a node. Absent texts are empty, absent numbers 0. */
export interface RegisteredNode {
  type: "node";
  uid: string;
  state: "online" | "offline" | "waiting" | "banned";
  protocol?: string;
  gateway?: string;
  first_seen?: number;
  last_seen?: number;
  boots?: number;
  reason?: string;
  revision?: number;
  label?: string;
  room?: string;
  latitude?: number;
  longitude?: number;
  tags?: string[];
  notes?: string;
  interval?: number;
  offline_after?: number;
  /** Types that people gave to resources. */
  types?: Record<string, ResourceType>;
  values?: LastValue[];
}
export type Kind = "number" | "boolean" | "enum" | "text" | "command" | "colour" | "position" | "vector" | "json";
/** What a resource is (docs/reference/messages.md). Absent members are unknown. */
export interface ResourceType {
  kind?: Kind;
  unit?: string;
  minimum?: number;
  maximum?: number;
  step?: number;
  precision?: number;
  choices?: string[];
  writable?: boolean;
  label?: string;
  device_class?: string;
  on?: string;
  off?: string;
  form?: "hex" | "rgb" | "json";
  source?: string;
}
/** Types of resources, as far as a reading does not show them. */
export interface NodeDescribed {
  type: "describe";
  uid: string;
  types: Record<string, ResourceType>;
}
export interface NodeForgotten {
  type: "forgotten";
  uid: string;
}
/** Alerts or their rules changed. */
export interface AlertsChanged {
  type: "alerts";
  version: number;
}
/** Saved views changed. */
export interface ViewsChanged {
  type: "views";
  version: number;
}
/** Nodes that sent readings, also such that this page did not subscribe to. */
export interface Seen {
  type: "seen";
  uids: string[];
  ts?: number;
}
export interface Joined {
  type: "joined";
  nodes?: number;
  ts?: number;
}
export type Outcome =
  "confirmed" | "refused" | "timeout" | "unreachable" | "unknown" | "forbidden" | "sent";
export interface Receipt {
  type: "receipt";
  id: string;
  state: Outcome;
  detail?: string;
  elapsed_ms?: number;
}
export interface Problem {
  type: "error";
  detail: string;
  uid?: string;
}
export type ToClient =
  | Hello
  | GatewayState
  | Ignored
  | NodeAppeared
  | Reading
  | NodeReset
  | NodeLeft
  | RegisteredNode
  | NodeDescribed
  | NodeForgotten
  | AlertsChanged
  | ViewsChanged
  | Seen
  | Joined
  | Receipt
  | Problem;

export interface Command {
  type: "command";
  id: string;
  uid: string;
  endpoint: string;
  payload: string;
  timeout: number;
}
export interface LegacyCommand {
  type: "update";
  data: { uid: string; endpoint: string; payload: string };
}
export interface Join {
  type: "new";
  data: "client";
  /** Also send what the registry has of each node. */
  registry?: boolean;
}
/** Which readings to send; without lists: all. */
export interface Subscribe {
  type: "subscribe";
  readings_of?: string[];
  readings_named?: string[];
}
export type FromClient = Join | Command | LegacyCommand | Subscribe;

export const SUBPROTOCOL = "pyaiot.v2";

/** The valid messages of a frame, and the number of invalid ones. Throws if the frame is not JSON. */
export function decode(frame: string): { messages: ToClient[]; wrong: number } {
  const value: unknown = JSON.parse(frame);
  const all: unknown[] = Array.isArray(value) ? value : [value];
  const messages = all.filter(isMessage);
  return { messages, wrong: all.length - messages.length };
}

/** Whether a value is a message with its required fields. */
export function isMessage(value: unknown): value is ToClient {
  if (typeof value !== "object" || value === null) return false;
  const it = value as Record<string, unknown>;
  switch (it.type) {
    case "update":
      return typeof it.uid === "string" && typeof it.endpoint === "string" && "data" in it;
    case "new":
    case "out":
    case "reset":
    case "forgotten":
      return typeof it.uid === "string";
    case "node":
      return typeof it.uid === "string" && typeof it.state === "string" && isList(it.values) && isList(it.tags) && (it.types === undefined || isTable(it.types));
    case "describe":
      return typeof it.uid === "string" && isTable(it.types);
    case "gateway":
    case "hello":
      return typeof it.name === "string";
    case "receipt":
      return typeof it.id === "string" && typeof it.state === "string";
    case "ignored":
      return typeof it.count === "number" && typeof it.topic === "string" && (it.topics === undefined || isList(it.topics));
    case "error":
      return typeof it.detail === "string";
    case "alerts":
    case "views":
      return typeof it.version === "number";
    case "seen":
      return Array.isArray(it.uids);
    case "joined":
      return true;
    default:
      return false;
  }
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value);
const isTable = (value: unknown): boolean => isObject(value) && Object.values(value).every(isObject);
const isList = (value: unknown): boolean => value === undefined || Array.isArray(value);
