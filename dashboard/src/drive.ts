// SPDX-License-Identifier: BSD-3-Clause
/**
 * Hold to drive: what moves stops when nobody holds it any more. Release, blur, a hidden page and
 * a lost link all mean stop; after a lost link it is said as soon as there is a link again.
 */
import type { Resource } from "./model/state";
import { ask, isLive } from "./store";

export interface Drive {
  /** Payloads that stop it, in order. */
  stop: readonly string[];
  /** Called when it was stopped, by whatever. */
  stopped: () => void;
}

let held: { resource: Resource; drive: Drive } | null = null;
/** Not told to stop yet, because there was no link. */
const owed = new Map<Resource, readonly string[]>();

/** Move, from now until `release`. Whether that could be said. */
export function hold(resource: Resource, payload: string, drive: Drive): boolean {
  if (held && held.resource !== resource) release();
  if (!ask(resource, payload)) return false;
  held = { resource, drive };
  return true;
}

export function release(): void {
  if (!held) return;
  const { resource, drive } = held;
  held = null;
  stop(resource, drive.stop);
  drive.stopped();
}

/** Say stop, or owe it. */
export function stop(resource: Resource, payloads: readonly string[]): void {
  if (!payloads.every((payload) => ask(resource, payload))) owed.set(resource, payloads);
}

addEventListener("blur", release);
addEventListener("pagehide", release);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) release();
});
isLive.subscribe((live) => {
  if (!live) return release();
  for (const [resource, payloads] of owed) {
    owed.delete(resource);
    stop(resource, payloads);
  }
});
