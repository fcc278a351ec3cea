// SPDX-License-Identifier: BSD-3-Clause
/** A command to many nodes: which resources accept one, and how far it is. */
import type { CommandState, Node, Resource } from "./types";

/** Commands of one batch that wait for their receipts. Further ones wait here. */
export const WINDOW = 16;

/** Resources that may be written, of nodes that are online, by name; those of the most nodes first. */
export function writable(nodes: readonly Node[]): Map<string, Resource[]> {
  const found = new Map<string, Resource[]>();
  for (const node of nodes) {
    if (node.left || node.registered?.state === "waiting") continue;
    for (const resource of node.resources.values()) {
      if (resource.type.writable !== true) continue;
      found.set(resource.name, [...(found.get(resource.name) ?? []), resource]);
    }
  }
  return new Map([...found].sort((a, b) => b[1].length - a[1].length));
}

export interface Progress {
  waiting: Resource[];
  /** With the commands that were sent. */
  sent: Map<Resource, CommandState | null>;
  confirmed: number;
  failed: Resource[];
}

export const begin = (resources: readonly Resource[]): Progress => ({ waiting: [...resources], sent: new Map(), confirmed: 0, failed: [] });

/** Count receipts and send more. `send` returns whether the command was sent. True: something changed. */
export function advance(progress: Progress, send: (resource: Resource) => boolean): boolean {
  let changed = false;
  for (const [resource, command] of progress.sent) {
    if (command?.state === "pending") continue;
    progress.sent.delete(resource);
    changed = true;
    if (command?.state === "confirmed" || command?.state === "sent") progress.confirmed += 1;
    else progress.failed.push(resource);
  }
  while (progress.waiting.length && progress.sent.size < WINDOW) {
    const resource = progress.waiting.shift() as Resource;
    changed = true;
    if (send(resource)) progress.sent.set(resource, resource.command);
    else progress.failed.push(resource);
  }
  return changed;
}

export const isDone = ({ waiting, sent }: Progress): boolean => !waiting.length && !sent.size;
