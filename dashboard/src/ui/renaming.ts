// SPDX-License-Identifier: BSD-3-Clause
/** The node whose name is being edited. */
import { signal } from "@preact/signals";
import type { Node } from "../model/state";
import { mayEdit } from "../info";

/** Where a name is edited: on the card, or in the details over it. */
export type Place = "card" | "details";

export const renaming = signal<{ node: Node; place: Place } | null>(null);
export const isRenamed = (node: Node, place: Place): boolean => renaming.value?.node === node && renaming.value.place === place;

export function startRenaming(event: Event, node: Node, place: Place): void {
  if (!mayEdit.peek() || !node.registered) return;
  event.preventDefault();
  renaming.value = { node, place };
}
