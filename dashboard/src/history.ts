// SPDX-License-Identifier: BSD-3-Clause
/** Stored readings, events and commands, if the broker has a history. Functions throw with the reason. */
import { apiUrl } from "./config";
import { brokerInfo } from "./info";
import { emptyCurve, type Stored } from "./model/curves";
import { niceStep } from "./model/timeView";
import type { Outcome } from "./messages";
import type { Resource } from "./model/state";
import { problemOf } from "./registryApi";

/** Whether the broker has a history, according to `/api/info`. */
export const historyIsOffered = async (): Promise<boolean> => Boolean((await brokerInfo())?.history);

const historyOf = ({ node, name }: Resource, search: Record<string, string>): string =>
  `nodes/${encodeURIComponent(node.uid)}/resources/${encodeURIComponent(name)}/history?${new URLSearchParams(search)}`;

async function read<T>(path: string, signal?: AbortSignal): Promise<Partial<T>> {
  const answer = await fetch(apiUrl() + path, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw await problemOf(answer);
  return (await answer.json()) as Partial<T>;
}

/** A stored reading: a number, or else any data. */
export interface StoredReading {
  ts: number;
  value?: number;
  data?: unknown;
}

interface Page {
  readings: (Partial<StoredReading> & { min?: unknown; max?: unknown; last?: unknown; count?: unknown })[];
  next: string | null;
}

/** The last `count` stored readings of a resource in a time span, oldest first, and whether there are more. */
export async function readSamples(resource: Resource, from: number, to: number, count: number, signal?: AbortSignal): Promise<{ samples: StoredReading[]; more: boolean }> {
  const page = await read<Page>(historyOf(resource, { from: String(from), to: String(to), order: "newest", limit: String(count) }), signal);
  const samples = (page.readings ?? []).filter((it): it is StoredReading => typeof it.ts === "number").reverse();
  return { samples, more: typeof page.next === "string" };
}

/** The last `count` stored numbers of a resource in a time span, oldest first. */
export async function readLatest(resource: Resource, from: number, to: number, count: number): Promise<[time: number, value: number][]> {
  const { samples } = await readSamples(resource, from, to, count);
  return samples.flatMap(({ ts, value }) => (typeof value === "number" ? [[ts, value] as [number, number]] : []));
}

/** The stored numbers of a resource: mean, minimum, maximum and last of each step. */
export async function readSteps(resource: Resource, from: number, to: number, signal: AbortSignal): Promise<Stored> {
  const step = niceStep(to - from);
  const page = await read<Page>(historyOf(resource, { from: String(from), to: String(to), every: String(step), agg: "mean,min,max,last,count" }), signal);
  const stored: Stored = { step, until: to, ...emptyCurve() };
  for (const { ts, value, min, max, last, count } of page.readings ?? []) {
    // One step may have two means, if the unit has changed in it: the line needs one.
    if (typeof ts !== "number" || typeof value !== "number" || ts <= (stored.times.at(-1) ?? -Infinity)) continue;
    stored.times.push(ts);
    stored.values.push(value);
    stored.lows.push(typeof min === "number" ? min : value);
    stored.highs.push(typeof max === "number" ? max : value);
    stored.counts.push(typeof count === "number" ? count : 1);
    stored.lasts.push(typeof last === "number" ? last : value);
  }
  return stored;
}

export interface StoredEvent {
  ts: number;
  kind: string;
  uid: string;
  gateway: string;
  detail: string;
}

export interface StoredCommand {
  ts: number;
  uid: string;
  resource: string;
  /** null: this client may not see it. */
  who: string | null;
  payload: string | null;
  /** null: no receipt is known. */
  state: Outcome | null;
  detail: string;
  elapsed_ms: number | null;
}

/** A page of what happened, the newest first, and the cursor of the next one. */
export interface Happened<T> {
  rows: T[];
  next: string | null;
}

export async function readEvents(search: Record<string, string> & { uid?: string }, kinds: readonly string[] = [], signal?: AbortSignal): Promise<Happened<StoredEvent>> {
  const query = new URLSearchParams({ order: "newest", ...search });
  for (const kind of kinds) query.append("kind", kind);
  const page = await read<{ events: StoredEvent[]; next: string | null }>(`history/events?${query}`, signal);
  return { rows: page.events ?? [], next: page.next ?? null };
}

export async function readCommands(search: Record<string, string>, signal?: AbortSignal): Promise<Happened<StoredCommand>> {
  const page = await read<{ commands: StoredCommand[]; next: string | null }>(`history/commands?${new URLSearchParams({ order: "newest", ...search })}`, signal);
  return { rows: page.commands ?? [], next: page.next ?? null };
}

export interface PastReading {
  name: string;
  data: unknown;
  value?: number;
  unit?: string;
  ts: number;
}

export interface PastNode {
  uid: string;
  /** null: unknown. */
  state: "online" | "offline" | null;
  since: number;
  reason: string;
  resources: PastReading[];
}

export interface PastState {
  ts: number;
  was_recorded: boolean;
  nodes: PastNode[];
  next: string | null;
}

/** The values and states at a time: of one node, or else a page of all. */
export async function readState(at: number, { uid = "", cursor = "" } = {}, signal?: AbortSignal): Promise<PastState> {
  const search = new URLSearchParams({ at: at.toFixed(3), ...(uid && { uid }), ...(cursor && { cursor }) });
  const page = await read<PastState>(`history/state?${search}`, signal);
  return { ts: at, was_recorded: page.was_recorded !== false, nodes: page.nodes ?? [], next: page.next ?? null };
}
