// SPDX-License-Identifier: BSD-3-Clause
/**
 * Hold to drive: a vehicle stops when its control is released. Release, blur, a hidden page and a lost
 * connection all mean stop; after a lost connection, stop is sent when the connection is back.
 */
import type { Resource } from "./model/state";
import { sendCommand, isLive } from "./store";

export interface Drive {
  /** Payloads that stop it, in order. */
  stop: readonly string[];
  /** Called when it was stopped, for any reason. */
  stopped: () => void;
}

let held: { resource: Resource; drive: Drive } | null = null;
/** Stops to send when the connection is back. */
const pendingStops = new Map<Resource, readonly string[]>();

/** Drive until `release`. Returns whether the command was sent. */
export function hold(resource: Resource, payload: string, drive: Drive): boolean {
  if (held && held.resource !== resource) release();
  if (!sendCommand(resource, payload)) return false;
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

/** Send stop, now or when the connection is back. */
export function stop(resource: Resource, payloads: readonly string[]): void {
  if (!payloads.every((payload) => sendCommand(resource, payload))) pendingStops.set(resource, payloads);
}

addEventListener("blur", release);
addEventListener("pagehide", release);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) release();
});
isLive.subscribe((live) => {
  if (!live) return release();
  for (const [resource, payloads] of pendingStops) {
    pendingStops.delete(resource);
    stop(resource, payloads);
  }
});
