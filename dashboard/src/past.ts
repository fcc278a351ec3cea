// SPDX-License-Identifier: BSD-3-Clause
/** Small lines begin with what was said before the page was opened, where the broker keeps it. */
import { historyIsOffered, readLatest } from "./history";
import { SAMPLES } from "./model/ring";
import type { Resource } from "./model/state";
import { withGaps } from "./series";

/** Questions at once: a page that opens asks for some dozens, and others want answers too. */
const ASKED_AT_ONCE = 3;
/** Of a line that is told less often than that: what is older would be another day. */
const PAST_S = 86_400;

const waiting: { resource: Resource; done: () => void }[] = [];
const known = new WeakSet<Resource>();
let asking = 0;

/** Put stored samples before those of its line, once; `done` when the line is another. */
export function recall(resource: Resource, done: () => void): void {
  if (known.has(resource)) return;
  known.add(resource);
  waiting.push({ resource, done });
  void next();
}

async function next(): Promise<void> {
  if (asking >= ASKED_AT_ONCE || !(await historyIsOffered())) return;
  // The latest first: what came into sight just now is being looked at.
  const it = asking < ASKED_AT_ONCE ? waiting.pop() : undefined;
  if (!it) return;
  asking += 1;
  try {
    await fill(it.resource);
    it.done();
  } catch (error) {
    // The line grows from now on, as without a history.
    console.info("The history was not told:", error);
  } finally {
    asking -= 1;
    void next();
  }
}

async function fill(resource: Resource): Promise<void> {
  const { ring } = resource;
  if (!ring?.length || ring.length >= SAMPLES) return;
  const until = ring.time(0);
  const stored = await readLatest(resource, until - PAST_S, until, SAMPLES);
  // Meanwhile its first sample may have been forgotten; never two of one time.
  const first = ring.time(0);
  ring.precede(withGaps([...stored.filter(([time]) => time < first), [first, ring.value(0)]]).slice(0, -1));
}
