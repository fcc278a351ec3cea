// SPDX-License-Identifier: BSD-3-Clause
/** What a change leaves in the state: what to draw again, the activity, and the raw messages. */
import type { ToClient } from "../messages";
import { ACTIVITY_MAX, RAW_MAX, type ActivityEvent, type Resource, type State } from "./types";

export function touch(state: State, resource: Resource): void {
  if (resource.noted) return;
  resource.noted = true;
  state.changed.push(resource);
}

export function happen(state: State, now: number, what: Omit<ActivityEvent, "ts">): void {
  state.activity.unshift({ ...what, ts: now + state.offset });
  state.activity.length = Math.min(state.activity.length, ACTIVITY_MAX);
  state.activityCount += 1;
}

export function remember(state: State, message: ToClient & { uid: string }): void {
  const raw = state.nodes.get(message.uid)?.raw;
  if (!raw) return;
  raw.push(message);
  if (raw.length > RAW_MAX) raw.shift();
}
