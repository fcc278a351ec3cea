// SPDX-License-Identifier: BSD-3-Clause
/** What the page can know, as types, and the limits of it. `state.ts` changes it. */
import type { Outcome, ToClient } from "../messages";
import type { Position } from "./readings";
import type { Ring } from "./ring";

/** A value older than this is stale. */
export const STALE_S = 120;
/** A node that said nothing for so long is quiet. */
export const QUIET_S = 45;
/** A node that left stays among the others for so long; then it is found by `state:left`. */
export const LEFT_S = 60;
/** Nodes that left and are remembered. One more: the one that left first is forgotten. */
export const LEFT_MAX = 500;
/** A value from before a reboot is waited for so long. */
export const FORGOTTEN_S = 30;
/** A node that names no resource for so long gave no answer. */
export const DISCOVERY_S = 15;
/** A command's deadline. */
export const ANSWER_S = 5;
/** The broker says itself that nobody answered; after this we do. */
export const GRACE_S = 2;
export const CONFIRMED_S = 4;
export const FAILED_S = 30;
/** What happened, as far as it is remembered. */
export const ACTIVITY_MAX = 300;
/** Commands of one node that are remembered. */
export const COMMANDS_MAX = 50;
/** Raw messages of one node that are remembered. */
export const RAW_MAX = 30;

/** Rung when something is to be drawn again; made by whoever draws it. */
export interface Bell {
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
  /** Page's clock: when it was asked, then when it ended. */
  at: number;
  /** Broker's clock: when it was asked. */
  ts: number;
  /** The node spoke of the resource meanwhile. */
  heard: boolean;
}

export interface Resource {
  node: Node;
  name: string;
  endpoint: string;
  /** A number with unit and samples, or text. */
  kind: "number" | "text";
  text: string;
  value: number;
  digits: string;
  unit: string;
  /** Broker's clock: when it was last received, also unchanged. */
  ts: number;
  /** The text that is no number, of a resource that was one. */
  unread: string;
  /** Page's clock at a reboot: the value counts no more. */
  forgotten: number | undefined;
  ring: Ring | null;
  vectors: Map<string, { values: number[]; rings: Ring[] }> | null;
  command: CommandState | null;
  bell: Bell | null;
  /** Stands in `changed`. */
  noted: boolean;
}

export interface Node {
  uid: string;
  name: string;
  gateway: string;
  since: number;
  /** Broker's clock: its last sign of life. */
  heard: number;
  /** It came while somebody looked. */
  fresh: boolean;
  era: number;
  /** `filed`: it is out of sight, and found by `state:left`. */
  left: { reason: string; at: number; ts: number; filed: boolean } | null;
  resources: Map<string, Resource>;
  position: Position | null;
  log: CommandState[];
  raw: ToClient[];
  watched: boolean;
  bell: Bell | null;
  /** Rung each second while it is seen. */
  clock: Bell | null;
  /** Somebody can see it; others are drawn when that changes. */
  seen: boolean;
  behind: boolean;
}

export interface Gateway {
  name: string;
  protocol: string;
  version: string;
  state: "connected" | "lost";
  era: number;
  /** What devices published under topics of no node, and the last of these topics. */
  ignored: { count: number; topic: string } | null;
}

export type EventKind = "joined" | "left" | "reset" | "command" | "gateway" | "link" | "error";

export interface Happening {
  kind: EventKind;
  /** A key of the translations, `event.…`, or text of a broker as it is. */
  what: string;
  ts: number;
  uid: string;
  detail: string;
  good: boolean;
}

export interface State {
  /** The burst that answers our `new` is complete. */
  joined: boolean;
  /** The broker gives no receipts, units or times. */
  legacy: boolean;
  /** The broker's clock minus ours. */
  offset: number;
  /** Counts connections, to find out who did not come back. */
  era: number;
  live: boolean;
  brokerVersion: string;
  nodes: Map<string, Node>;
  gateways: Map<string, Gateway>;
  /** id → the resource that waits for the receipt. */
  commands: Map<string, Resource>;
  activity: Happening[];
  changed: Resource[];
  reshaped: Set<Node>;
  /** Counts what changes the list of nodes or gateways. */
  membership: number;
  happenings: number;
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
  commands: new Map(),
  activity: [],
  changed: [],
  reshaped: new Set(),
  membership: 0,
  happenings: 0,
});
