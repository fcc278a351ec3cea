// SPDX-License-Identifier: BSD-3-Clause
/** Where nodes have been: from the history, and from what they report while the map is shown. */
import { historyIsOffered, readSamples } from "../../history";
import { moves, type TrackPoint } from "../../model/geo";
import { readPosition } from "../../model/readings";
import type { Node } from "../../model/state";
import { clock, past, state } from "../../store";

/** Nodes whose tracks are read. */
export const TRACKS_MAX = 20;
const POINTS_MAX = 500;

export class Tracks {
  private readonly all = new Map<string, TrackPoint[]>();
  private reading: AbortController | null = null;

  /** Read the tracks of the last `span` seconds before now, or before the past time that is shown. */
  async read(nodes: readonly Node[], span: number, drawn: () => void): Promise<void> {
    this.stop();
    this.all.clear();
    drawn();
    if (!span || !(await historyIsOffered())) return;
    const { signal } = (this.reading = new AbortController());
    const to = clock() + state.offset;
    for (const node of nodes.filter(({ position }) => position !== null).slice(0, TRACKS_MAX)) {
      const resource = node.resources.get("position") ?? [...node.resources.values()].find(({ type }) => type.kind === "position");
      if (!resource) continue;
      const stored = await readSamples(resource, to - span, to, POINTS_MAX, signal).catch(() => null);
      if (signal.aborted) return;
      const track = (stored?.samples ?? []).flatMap(({ ts, data }) => {
        const at = readPosition(data);
        return at ? [{ ...at, ts }] : [];
      });
      const since = track.at(-1)?.ts ?? 0;
      this.all.set(node.uid, [...track, ...(this.all.get(node.uid) ?? []).filter(({ ts }) => ts > since)]);
      drawn();
    }
  }

  stop(): void {
    this.reading?.abort();
  }

  /** Add where the nodes are now. Returns whether there is something new to draw. */
  add(nodes: readonly Node[], span: number): boolean {
    if (!span) return false;
    const ts = past.peek() || clock() + state.offset;
    let isNew = false;
    for (const { uid, position, left } of nodes) {
      if (!position || left || (this.all.size >= TRACKS_MAX && !this.all.has(uid))) continue;
      const track = this.all.get(uid) ?? [];
      this.all.set(uid, track);
      const last = track.at(-1);
      if (last && last.lat === position.lat && last.lng === position.lng) continue;
      track.push({ ...position, ts });
      while (track.length > 2 * POINTS_MAX || track[0].ts < ts - span) track.shift();
      isNew = true;
    }
    return isNew;
  }

  /** Of the nodes that move. */
  of(nodes: readonly Node[]): Map<string, TrackPoint[]> {
    const found = new Map<string, TrackPoint[]>();
    for (const { uid } of nodes) {
      const track = this.all.get(uid);
      if (track && track.length > 1 && moves(track)) found.set(uid, track);
    }
    return found;
  }
}
