// SPDX-License-Identifier: BSD-3-Clause
/** The path from devices to clients: gateways with their nodes, rates, and commands on the way. */
import { byName } from "./order";
import { nodeState, type Gateway, type Node, type NodeState, type State } from "./state";

/** Nodes of one gateway that are drawn; of the others there is a number. */
export const DEVICES_SHOWN = 8;
const OVER_S = 3;

/** Messages per second, of each node and in total. */
export class Rates {
  private readonly seconds: Map<string, number>[] = [new Map<string, number>()];

  add(uid: string): void {
    const [now] = this.seconds;
    now.set(uid, (now.get(uid) ?? 0) + 1);
  }

  /** A second has passed. */
  tick(): void {
    this.seconds.unshift(new Map());
    this.seconds.length = Math.min(this.seconds.length, OVER_S + 1);
  }

  /** Whether a second is complete. */
  get isKnown(): boolean {
    return this.seconds.length > 1;
  }

  /** Of the complete seconds. */
  of(uid: string): number {
    const complete = this.seconds.slice(1);
    return complete.length ? complete.reduce((sum, counts) => sum + (counts.get(uid) ?? 0), 0) / complete.length : 0;
  }
}

/** How fast counts of the broker grow, from one answer to the next. */
export class Growth {
  private readonly counts = new Map<string, { count: number; at: number; perSecond: number | null }>();

  /** `at` in seconds. A count that is smaller began again. */
  add(name: string, count: number | null | undefined, at: number): void {
    if (typeof count !== "number") return;
    const before = this.counts.get(name);
    const isNext = before !== undefined && at > before.at && count >= before.count;
    this.counts.set(name, { count, at, perSecond: isNext ? (count - before.count) / (at - before.at) : null });
  }

  /** Per second; null: not known yet. */
  of(name: string): number | null {
    return this.counts.get(name)?.perSecond ?? null;
  }
}

export type Health = "good" | "warn" | "bad" | "unknown";

export interface Device {
  node: Node;
  how: NodeState;
  rate: number;
}

export interface Branch {
  name: string;
  protocol: string;
  health: Health;
  /** What the gateway is; undefined: only its nodes name it. */
  gateway: Gateway | undefined;
  devices: Device[];
  /** Online nodes that are not in `devices`. */
  more: number;
  online: number;
  /** Nodes that need attention: stale, silent or lost. */
  troubled: number;
  rate: number;
  /** The broker of the cluster that it is linked to; empty: this one. */
  broker: string;
}

const TROUBLED: ReadonlySet<NodeState> = new Set(["stale", "silent", "lost", "left"]);

/**
 * The gateways with their nodes, those with trouble first. `grown`: what the broker counted, if this
 * page does not get all readings.
 */
export function branchesOf(state: State, rates: Rates, now: number, reports: readonly GatewayReport[] = [], grown?: Growth): Branch[] {
  const brokers = new Map(reports.map(({ name, broker = "" }) => [name, broker]));
  const byGateway = new Map<string, Device[]>([...state.gateways.keys()].map((name) => [name, []]));
  for (const node of state.nodes.values()) {
    if (node.left?.filed) continue;
    const devices = byGateway.get(node.gateway) ?? [];
    byGateway.set(node.gateway, devices);
    devices.push({ node, how: nodeState(state, node, now), rate: rates.of(node.uid) });
  }
  return [...byGateway]
    .map(([name, all]): Branch => {
      const gateway = state.gateways.get(name);
      const troubled = all.filter(({ how }) => TROUBLED.has(how)).length;
      all.sort((a, b) => Number(TROUBLED.has(b.how)) - Number(TROUBLED.has(a.how)) || byName(a.node, b.node));
      return {
        name,
        protocol: gateway?.protocol ?? "",
        gateway,
        health: gateway?.state === "lost" ? "bad" : !state.live ? "unknown" : troubled ? "warn" : "good",
        devices: all.slice(0, DEVICES_SHOWN),
        more: Math.max(0, all.length - DEVICES_SHOWN),
        online: all.filter(({ node }) => !node.left).length,
        troubled,
        rate: grown?.of(`gateway ${name}`) ?? all.reduce((sum, { rate }) => sum + rate, 0),
        broker: brokers.get(name) ?? "",
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A command on the way, or back with its receipt. */
export interface Journey {
  id: string;
  uid: string;
  gateway: string;
  name: string;
  payload: string | null;
  /** Unix time. */
  ts: number;
  who: string | null;
  /** null: it has no receipt yet. */
  outcome: string | null;
  elapsed_ms: number | null;
}

export const JOURNEYS_MAX = 12;

/** The list with a journey that is new or has changed, the newest first. */
export function withJourney(list: readonly Journey[], journey: Journey): Journey[] {
  const others = list.filter(({ id }) => id !== journey.id);
  return [journey, ...others].sort((a, b) => b.ts - a.ts).slice(0, JOURNEYS_MAX);
}

/** Whether a stored command is one that this page sent: the broker and the page know it by other names. */
export const isSame = (own: Journey, stored: { uid: string; resource: string; payload: string | null; ts: number }): boolean =>
  own.uid === stored.uid && own.name === stored.resource && (stored.payload === null || own.payload === stored.payload) && Math.abs(own.ts - stored.ts) < 3;

export interface GatewayReport {
  name: string;
  /** Readings since its link was opened, and where it is linked to; not from a broker of an earlier version. */
  readings?: number;
  broker?: string;
  ignored: number;
  ignored_topics: string[];
  refused: number;
  messages_refused: number;
  refusals: string[];
  /** Unix time of each of them; absent from a broker of an earlier version. */
  refusal_times?: number[];
}

/** Another broker of the cluster, and this one. */
export interface Peer {
  name: string;
  address: string;
  version: string;
  state: "joining" | "online" | "lost" | "incompatible";
  silent_s: number;
  lag_s: number;
  nodes?: number | null;
  gateways?: number | null;
  clients?: number | null;
  readings?: number | null;
}

export interface Cluster {
  in_cluster: boolean;
  name: string;
  connected: boolean;
  nodes?: number | null;
  peers: Peer[];
}

/** What was refused, the last first, and when (Unix time; 0: unknown). */
export const lastRefusals = ({ refusals, refusal_times = [] }: GatewayReport): { text: string; ts: number }[] => refusals.map((text, at) => ({ text, ts: refusal_times[at] ?? 0 })).reverse();

/** More than this behind, a broker of the cluster needs attention. */
const LAG_S = 5;

export const peerHealth = ({ state, lag_s }: Peer): Health => (state === "lost" || state === "incompatible" ? "bad" : state === "joining" || lag_s > LAG_S ? "warn" : "good");

export type Finding =
  | { kind: "online" | "offline" | "waiting" | "banned" | "quiet"; node: Node }
  | { kind: "refused"; gateway: string; text: string; ts: number }
  | { kind: "topic"; gateway: string; text: string };

/** What is known about a board, by a part of its uid, name, address or topic. */
export function findBoard(words: string, nodes: readonly { node: Node; how: NodeState; texts: readonly string[] }[], reports: readonly GatewayReport[]): Finding[] {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return [];
  const has = (text: string) => text.toLowerCase().includes(wanted);
  const found: Finding[] = [];
  for (const { node, how, texts } of nodes) {
    if (!texts.some(has)) continue;
    const kind = how === "waiting" || how === "banned" ? how : how === "left" || how === "lost" ? "offline" : how === "live" ? "online" : "quiet";
    found.push({ kind, node });
  }
  for (const report of reports) {
    const { name, ignored_topics } = report;
    for (const { text, ts } of lastRefusals(report)) if (has(text)) found.push({ kind: "refused", gateway: name, text, ts });
    for (const text of [...ignored_topics].reverse()) if (has(text)) found.push({ kind: "topic", gateway: name, text });
  }
  return found.slice(0, 20);
}
