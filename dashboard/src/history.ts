// SPDX-License-Identifier: BSD-3-Clause
/** Stored readings, if the broker has a history. */
import { apiUrl } from "./config";
import { brokerInfo } from "./info";
import { niceStep, type Stored } from "./series";
import type { Resource } from "./model/state";

/** Whether the broker has a history, according to `/api/info`. */
export const historyIsOffered = async (): Promise<boolean> => Boolean((await brokerInfo())?.history);

const historyOf = ({ node, name }: Resource, search: Record<string, string>): string =>
  `${apiUrl()}nodes/${encodeURIComponent(node.uid)}/resources/${encodeURIComponent(name)}/history?${new URLSearchParams(search)}`;

/** The last `count` stored numbers of a resource in a time span, oldest first. Throws with the reason. */
export async function readLatest(resource: Resource, from: number, to: number, count: number): Promise<[time: number, value: number][]> {
  const url = historyOf(resource, { from: String(from), to: String(to), order: "newest", limit: String(count) });
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return stored((await answer.json()) as Answer)
    .filter((sample): sample is [number, number] => sample[1] !== null)
    .reverse();
}

/** Means of the stored numbers of a resource, in steps. Throws with the reason. */
export async function readHistory(resource: Resource, from: number, to: number, signal: AbortSignal): Promise<Stored> {
  const step = niceStep(to - from);
  const search = { from: String(from), to: String(to), every: String(step), agg: "mean,count" };
  const answer = await fetch(historyOf(resource, search), { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const series: Stored = { step, until: to, times: [], values: [], counts: [] };
  for (const { ts, value, count } of ((await answer.json()) as Answer).readings ?? []) {
    // One step may have two means, if the unit has changed in it: the line needs one.
    if (typeof ts !== "number" || typeof value !== "number" || ts <= (series.times.at(-1) ?? -Infinity)) continue;
    series.times.push(ts);
    series.values.push(value);
    series.counts.push(typeof count === "number" ? count : 1);
  }
  return series;
}

interface Answer {
  readings?: { ts?: unknown; value?: unknown; count?: unknown }[];
}

function stored(said: Answer): [time: number, value: number | null][] {
  return (said.readings ?? []).flatMap(({ ts, value }) =>
    typeof ts === "number" ? [[ts, typeof value === "number" ? value : null] as [number, number | null]] : [],
  );
}
