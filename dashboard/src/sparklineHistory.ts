// SPDX-License-Identifier: BSD-3-Clause
/** Fills sparklines with readings from before the page was opened, if the broker has a history. */
import { historyIsOffered, readLatest } from "./history";
import { SAMPLES } from "./model/ring";
import type { Resource } from "./model/state";
import { withGaps } from "./series";

/** Concurrent queries: a page that opens sends some dozens, and other clients need answers too. */
const QUERIES_AT_ONCE = 3;
/** Only readings of the last day are prepended. */
const PAST_S = 86_400;

const queue: { resource: Resource; done: () => void }[] = [];
const requested = new WeakSet<Resource>();
let running = 0;

/** Prepend stored samples to the sparkline, once. Calls `done` when it has changed. */
export function prependHistory(resource: Resource, done: () => void): void {
  if (requested.has(resource)) return;
  requested.add(resource);
  queue.push({ resource, done });
  void next();
}

async function next(): Promise<void> {
  if (running >= QUERIES_AT_ONCE || !(await historyIsOffered())) return;
  // The latest request first: its card has just become visible.
  const it = running < QUERIES_AT_ONCE ? queue.pop() : undefined;
  if (!it) return;
  running += 1;
  try {
    await fill(it.resource);
    it.done();
  } catch (error) {
    // The sparkline starts now, as without a history.
    console.info("The history could not be read:", error);
  } finally {
    running -= 1;
    void next();
  }
}

async function fill(resource: Resource): Promise<void> {
  const { ring } = resource;
  if (!ring?.length || ring.length >= SAMPLES) return;
  const until = ring.time(0);
  const stored = await readLatest(resource, until - PAST_S, until, SAMPLES);
  // Its first sample may have been overwritten meanwhile; times must be unique.
  const first = ring.time(0);
  ring.precede(withGaps([...stored.filter(([time]) => time < first), [first, ring.value(0)]]).slice(0, -1));
}
