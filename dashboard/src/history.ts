// SPDX-License-Identifier: BSD-3-Clause
/** Stored readings, if the broker has a history. */
import { apiUrl, mayHaveApi } from "./config";
import type { Series } from "./series";
import type { Resource } from "./model/state";
import { link } from "./store";

const POINTS_MAX = 1000;

let offered: Promise<boolean> | null = null;

/** Whether the broker has a history, according to `/api/info`. */
export function historyIsOffered(): Promise<boolean> {
  // A legacy broker has no API; requests would only fill the console.
  if (link.peek().legacy || !mayHaveApi()) return Promise.resolve(false);
  offered ??= fetch(`${apiUrl()}info`)
    .then(async (answer) => answer.ok && Boolean(((await answer.json()) as { history?: unknown }).history))
    .catch(() => false);
  return offered;
}

const historyOf = ({ node, name }: Resource, search: Record<string, string>): string =>
  `${apiUrl()}nodes/${encodeURIComponent(node.uid)}/resources/${encodeURIComponent(name)}/history?${new URLSearchParams(search)}`;

/** The last `count` stored numbers of a resource in a time span, oldest first. Throws with the reason. */
export async function readLatest(resource: Resource, from: number, to: number, count: number): Promise<[time: number, value: number][]> {
  const url = historyOf(resource, { from: String(from), to: String(to), order: "newest", limit: String(count) });
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return stored((await answer.json()) as Stored)
    .filter((sample): sample is [number, number] => sample[1] !== null)
    .reverse();
}

/** Stored numbers of a resource, at most `POINTS_MAX`. Throws with the reason. */
export async function readHistory(resource: Resource, from: number, to: number, signal: AbortSignal): Promise<Series> {
  const every = Math.max(1, Math.round((to - from) / POINTS_MAX));
  const url = historyOf(resource, { from: String(from), to: String(to), every: String(every) });
  const answer = await fetch(url, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const samples = stored((await answer.json()) as Stored);
  return { times: samples.map(([time]) => time), values: samples.map(([, value]) => value) };
}

interface Stored {
  readings?: { ts?: unknown; value?: unknown }[];
}

function stored(said: Stored): [time: number, value: number | null][] {
  return (said.readings ?? []).flatMap(({ ts, value }) =>
    typeof ts === "number" ? [[ts, typeof value === "number" ? value : null] as [number, number | null]] : [],
  );
}
