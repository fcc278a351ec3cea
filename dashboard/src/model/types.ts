// SPDX-License-Identifier: BSD-3-Clause
/** Types of the state of the page, and their limits. `state.ts` changes the state. */
import type { LastValue, Outcome, RegisteredNode, ResourceType, ToClient } from "../messages";
import type { Position } from "./readings";
import type { Ring } from "./ring";

/** A value older than this is stale. */
export const STALE_S = 120;
/** A node is quiet after this time without a message. */
export const QUIET_S = 45;
/** A node that leaves stays a card for this time. */
export const LEFT_S = 60;
/** Nodes that left while the page was open, and that are kept. Beyond, the one that left first is dropped. */
export const LEFT_MAX = 500;
/** A value from before a reboot is removed after this time. */
export const FORGOTTEN_S = 30;
/** A node without resources for this time has not answered discovery. */
export const DISCOVERY_S = 15;
/** Timeout of a command. */
export const ANSWER_S = 5;
/** The broker sends the receipt `timeout`; after this additional time the page assumes it. */
export const GRACE_S = 2;
export const CONFIRMED_S = 4;
export const FAILED_S = 30;
/** Activity events that are kept. */
export const ACTIVITY_MAX = 300;
/** Commands of one node that are kept. */
export const COMMANDS_MAX = 50;
/** Raw messages of one node that are kept. */
export const RAW_MAX = 30;

/** Incremented to draw again; created by the component that draws. */
export interface Trigger {
  value: number;
}

export interface CommandState {
  id: string;
  uid: string;
  name: string;
  payload: string;
  state: "pending" | "lost" | Outcome;
  detail: string;
  elapsed_ms: number;
  /** Page's clock: the time of the command, then of its end. */
  at: number;
  /** Broker's clock: the time of the command. */
  ts: number;
  /** The node reported the resource meanwhile. */
  reported: boolean;
}

export interface Resource {
  node: Node;
  name: string;
  endpoint: string;
  /** What the broker knows of it. */
  type: ResourceType;
  /** Its last reading; null: none so far. */
  last: LastValue | null;
  /** A number with unit and samples, or text. */
  kind: "number" | "text";
  text: string;
  value: number;
  digits: string;
  unit: string;
  /** Broker's clock: when it was last received, also unchanged. */
  ts: number;
  /** Text that is not a number, of a resource that was a number before. */
  unread: string;
  /** Page's clock at a reboot: the value is outdated. */
  forgotten: number | undefined;
  ring: Ring | null;
  vectors: Map<string, { values: number[]; rings: Ring[] }> | null;
  command: CommandState | null;
  trigger: Trigger | null;
  /** Is in `changed`. */
  noted: boolean;
}

/** What the registry of the broker has of a node. */
export interface Registered {
  uid: string;
  state: RegisteredNode["state"];
  protocol: string;
  gateway: string;
  /** Broker's clock; 0: never seen, people added it. */
  firstSeen: number;
  /** Broker's clock; of an online node, that of its last change in the registry. */
  lastSeen: number;
  boots: number;
  reason: string;
  /** Grows with each edit. */
  revision: number;
  label: string;
  room: string;
  tags: readonly string[];
  notes: string;
  /** Seconds between two readings, as people expect them; 0: unknown. */
  interval: number;
  /** Offline timeout in seconds; 0: that of its gateway. */
  offlineAfter: number;
  /** Types that people gave to resources. */
  types: Readonly<Record<string, ResourceType>>;
  /** Where people put it. */
  place: Position | null;
  /** The last values of a node that is not online. */
  values: readonly LastValue[];
  /** The connection in which it was received. */
  era: number;
  /** It was offline before. */
  returned: boolean;
}

export interface Node {
  uid: string;
  name: string;
  registered: Registered | null;
  gateway: string;
  /** Broker's clock: online since. 0: unknown. */
  since: number;
  /** Broker's clock: the first message of it here. */
  firstSeen: number;
  /** Broker's clock: its last sign of life. */
  lastSeen: number;
  /** It appeared while the page was open. */
  fresh: boolean;
  era: number;
  /** `filed`: it is no card any more, but in the list of offline nodes. */
  left: { reason: string; at: number; ts: number; filed: boolean } | null;
  resources: Map<string, Resource>;
  position: Position | null;
  log: CommandState[];
  raw: ToClient[];
  watched: boolean;
  trigger: Trigger | null;
  /** Incremented each second while it is visible. */
  clock: Trigger | null;
  /** It is visible on screen; hidden nodes are drawn when they become visible. */
  visible: boolean;
  behind: boolean;
}

export interface Gateway {
  name: string;
  protocol: string;
  version: string;
  state: "connected" | "lost";
  era: number;
  /** Publications on unknown topics, the last of these topics, and the last different ones. */
  ignored: { count: number; topic: string; topics: readonly string[] } | null;
  /** Clients that were refused; which was the last, and why, as the gateway wrote it. */
  refused: { count: number; refusal: string } | null;
}

export type EventKind = "joined" | "left" | "reset" | "command" | "gateway" | "link" | "error";

export interface ActivityEvent {
  kind: EventKind;
  /** A key of the translations, `event.…`, or text of a broker. */
  what: string;
  ts: number;
  uid: string;
  detail: string;
  /** Why a command failed, as its receipt has it. */
  why?: string;
  good: boolean;
}

export interface State {
  /** The answer to `new` is complete. */
  joined: boolean;
  /** The broker sends no receipts, units or times. */
  legacy: boolean;
  /** The broker's clock minus ours. */
  offset: number;
  /** Counts connections, to find the nodes that did not return. */
  era: number;
  live: boolean;
  brokerVersion: string;
  nodes: Map<string, Node>;
  gateways: Map<string, Gateway>;
  /** Every node that was ever seen, by uid, if the broker has a registry. */
  registry: Map<string, Registered>;
  /** Nodes that are only in the registry, made when they are shown. */
  offline: Map<string, Node>;
  /** uid → resource → its type. */
  types: Map<string, Map<string, ResourceType>>;
  /** id → the resource that waits for the receipt. */
  commands: Map<string, Resource>;
  activity: ActivityEvent[];
  changed: Resource[];
  reshaped: Set<Node>;
  /** Counts changes of the lists of nodes and gateways. */
  membership: number;
  activityCount: number;
  /** Counts announcements of changed alerts. */
  alertsVersion: number;
  /** Counts announcements of changed views. */
  viewsVersion: number;
}

export const newState = (offset: number): State => ({
  joined: false,
  legacy: false,
  offset,
  era: 0,
  live: false,
  brokerVersion: "",
  nodes: new Map(),
  gateways: new Map(),
  registry: new Map(),
  offline: new Map(),
  types: new Map(),
  commands: new Map(),
  activity: [],
  changed: [],
  reshaped: new Set(),
  membership: 0,
  activityCount: 0,
  alertsVersion: 0,
  viewsVersion: 0,
});

export const newNode = (uid: string, gateway: string, firstSeen: number, { era }: { era: number }): Node => ({
  uid,
  name: "",
  registered: null,
  gateway,
  since: 0,
  firstSeen,
  lastSeen: 0,
  fresh: false,
  era,
  left: null,
  resources: new Map(),
  position: null,
  log: [],
  raw: [],
  watched: false,
  trigger: null,
  clock: null,
  visible: false,
  behind: false,
});
