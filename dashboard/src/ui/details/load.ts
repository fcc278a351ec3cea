// SPDX-License-Identifier: BSD-3-Clause
/** Reads what the charts of a node show from the history, for a span of time. */
import { historyIsOffered, readEvents, readSamples, readState, readSteps, type PastState } from "../../history";
import { curveOf, type Stored } from "../../model/curves";
import { absencesOf, type Absence, type Sample } from "../../model/segments";
import { readVectors, textOf } from "../../model/readings";
import type { Node, Resource } from "../../model/state";
import { niceStep } from "../../model/timeView";

/** Vectors and texts are not thinned in the history: only the last ones of a span are read. */
export const SAMPLES_READ = 3000;
const EVENTS_READ = 500;
/** Concurrent queries: other clients need answers too. */
const QUERIES_AT_ONCE = 3;

/** What to read. */
export interface Wanted {
  node: Node;
  numbers: Resource[];
  vectors: Resource[];
  states: Resource[];
}

export interface Loaded {
  steps: Map<Resource, Stored>;
  /** Of each kind of vector, its axes. */
  vectors: Map<Resource, Map<string, Stored[]>>;
  states: Map<Resource, Sample[]>;
  absences: Absence[];
  /** Resources with more readings than were read. */
  truncated: Resource[];
  step: number;
}

export const nothing = (): Loaded => ({ steps: new Map(), vectors: new Map(), states: new Map(), absences: [], truncated: [], step: 0 });

/** null: the broker has no history. Throws with the reason. */
export async function load({ node, numbers, vectors, states }: Wanted, from: number, to: number, signal: AbortSignal): Promise<Loaded | null> {
  if (!(await historyIsOffered()) || signal.aborted) return null;
  const loaded: Loaded = { ...nothing(), step: niceStep(to - from) };
  const samplesOf = async (resource: Resource) => {
    const { samples, more } = await readSamples(resource, from, to, SAMPLES_READ, signal);
    if (more) loaded.truncated.push(resource);
    return samples;
  };
  const tasks: (() => Promise<void>)[] = numbers.map((resource) => async () => {
    loaded.steps.set(resource, await readSteps(resource, from, to, signal));
  });
  for (const resource of vectors)
    tasks.push(async () => {
      const lines = new Map<string, [number, number][][]>();
      for (const { ts, data } of await samplesOf(resource))
        for (const { type, values } of readVectors(data) ?? []) {
          const axes = lines.get(type) ?? values.map(() => []);
          lines.set(type, axes);
          values.forEach((value, axis) => axes[axis]?.push([ts, value]));
        }
      const curves = [...lines].map(([type, axes]): [string, Stored[]] => [type, axes.map((samples) => ({ ...curveOf(samples), step: 0.001, until: to }))]);
      loaded.vectors.set(resource, new Map(curves));
    });
  if (states.length) {
    // The values before the span are those at its begin.
    let before: PastState | null = null;
    tasks.push(async () => {
      before = await readState(from, { uid: node.uid }, signal);
      const { rows } = await readEvents({ uid: node.uid, from: String(from), to: String(to), limit: String(EVENTS_READ) }, ["appeared", "left", "reset"], signal);
      loaded.absences = absencesOf([...rows].reverse(), before.nodes[0]?.state === "offline", from);
    });
    for (const resource of states)
      tasks.push(async () => {
        loaded.states.set(
          resource,
          (await samplesOf(resource)).map(({ ts, value, data }) => ({ ts, text: textOf(data ?? value) })),
        );
      });
    await inTurns(tasks);
    const values = (before as PastState | null)?.nodes[0]?.resources ?? [];
    for (const [resource, samples] of loaded.states) {
      const first = values.find(({ name }) => name === resource.name);
      if (first && !loaded.truncated.includes(resource)) samples.unshift({ ts: first.ts, text: textOf(first.data) });
    }
    return loaded;
  }
  await inTurns(tasks);
  return loaded;
}

async function inTurns(tasks: (() => Promise<void>)[]): Promise<void> {
  const left = [...tasks];
  const work = async () => {
    for (let task = left.shift(); task; task = left.shift()) await task();
  };
  await Promise.all(Array.from({ length: QUERIES_AT_ONCE }, work));
}
