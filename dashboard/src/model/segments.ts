// SPDX-License-Identifier: BSD-3-Clause
/** A state over time: spans in which a switch or a text had one value. */

export interface Sample {
  ts: number;
  text: string;
}

/** A span in which the node was offline, so that its values are unknown. */
export interface Absence {
  from: number;
  to: number;
}

export interface Segment {
  from: number;
  to: number;
  /** null: unknown. */
  text: string | null;
  /** Changes that are too close to be shown each; 0: it is one value. */
  changes: number;
}

/** The spans of equal values between two times. Samples in order; the first may be earlier than `from`. */
export function segmentsOf(samples: readonly Sample[], absences: readonly Absence[], from: number, to: number): Segment[] {
  const found: Segment[] = [];
  const add = (start: number, end: number, text: string | null): void => {
    const [first, last] = [Math.max(start, from), Math.min(end, to)];
    if (last <= first) return;
    const before = found.at(-1);
    if (before && before.text === text && before.to === first) before.to = last;
    else found.push({ from: first, to: last, text, changes: 0 });
  };
  if (!samples.length) add(from, to, null);
  else add(from, samples[0].ts, null);
  samples.forEach(({ ts, text }, index) => {
    let start = ts;
    const end = samples[index + 1]?.ts ?? to;
    for (const away of absences) {
      if (away.to <= start || away.from >= end) continue;
      add(start, away.from, text);
      add(Math.max(start, away.from), Math.min(away.to, end), null);
      start = away.to;
    }
    add(start, end, text);
  });
  return found;
}

/** With at most `count` spans: neighbours that are too short to be seen become one of many changes. */
export function fitted(segments: readonly Segment[], count: number): Segment[] {
  const first = segments[0];
  const last = segments.at(-1);
  if (!first || !last || segments.length <= count) return [...segments];
  const least = (last.to - first.from) / count;
  const found: Segment[] = [];
  for (const segment of segments) {
    const before = found.at(-1);
    const isShort = segment.to - segment.from < least;
    if (before && isShort && (before.changes > 0 || before.to - before.from < least)) {
      before.changes = Math.max(1, before.changes) + 1;
      before.to = segment.to;
      before.text = segment.text;
    } else found.push({ ...segment });
  }
  return found;
}

/** The value at a time; undefined: outside. */
export const segmentAt = (segments: readonly Segment[], ts: number): Segment | undefined => segments.find(({ from, to }) => ts >= from && ts < to);

/** A number from 0 to `count` - 1 for a text: always the same, so that a value keeps its colour. */
export function hueOf(text: string, count: number): number {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 65_521;
  return hash % count;
}

/** When a node was offline, from its events in order. `wasAway`: it was before `from`. */
export function absencesOf(events: readonly { ts: number; kind: string }[], wasAway: boolean, from: number): Absence[] {
  const found: Absence[] = [];
  let since = wasAway ? from : NaN;
  for (const { ts, kind } of events)
    if (kind === "left") since = Number.isNaN(since) ? ts : since;
    else if (!Number.isNaN(since)) {
      found.push({ from: since, to: ts });
      since = NaN;
    }
  return Number.isNaN(since) ? found : [...found, { from: since, to: Infinity }];
}
