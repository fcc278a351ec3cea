// SPDX-License-Identifier: BSD-3-Clause
/** Readings of a time gone by: stored ones if the broker offers them, else what this page has seen. */
import { config } from "./config";
import type { Series } from "./series";
import type { Resource } from "./model/state";

const POINTS_MAX = 1000;

let offered: Promise<boolean> | null = null;

/** Whether readings are stored: `/api/info` says so. */
export function historyIsOffered(): Promise<boolean> {
  offered ??= config.api
    ? fetch("api/info")
        .then(async (answer) => answer.ok && Boolean(((await answer.json()) as { history?: unknown }).history))
        .catch(() => false)
    : Promise.resolve(false);
  return offered;
}

/** Stored numbers of a resource, at most `POINTS_MAX`. Throws with the reason. */
export async function readHistory(resource: Resource, from: number, to: number, signal: AbortSignal): Promise<Series> {
  const { node, name } = resource;
  const path = `api/nodes/${encodeURIComponent(node.uid)}/resources/${encodeURIComponent(name)}/history`;
  const every = Math.max(1, Math.round((to - from) / POINTS_MAX));
  const search = new URLSearchParams({ from: String(from), to: String(to), every: String(every) });
  const answer = await fetch(`${path}?${search}`, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const said = (await answer.json()) as { readings?: { ts?: unknown; value?: unknown }[] };
  const series: Series = { times: [], values: [] };
  for (const { ts, value } of said.readings ?? []) {
    if (typeof ts !== "number") continue;
    series.times.push(ts);
    series.values.push(typeof value === "number" ? value : null);
  }
  return series;
}
