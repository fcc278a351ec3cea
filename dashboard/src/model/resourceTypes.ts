// SPDX-License-Identifier: BSD-3-Clause
/**
 * What resources are. The broker sends it for online nodes. Of offline ones, and from a legacy broker,
 * only these names are known.
 */
import type { ResourceType } from "../messages";
import type { State } from "./types";

/** Nothing is known beyond the reading: a number or a text. */
export const UNTYPED: Readonly<ResourceType> = {};

const KNOWN: ReadonlyMap<string, ResourceType> = new Map([
  ["led", { kind: "boolean", on: "1", off: "0", writable: true }],
  ["position", { kind: "position" }],
  ["imu", { kind: "vector" }],
  ["robot", { kind: "command" }],
  ["ribot", { kind: "command" }],
  ["text", { kind: "text" }],
  ["webcam", { kind: "text" }],
  ["js", { kind: "text" }],
  ["twitter", { kind: "text" }],
]);

/** The type of a resource that has its first value. */
export const typeOf = (state: Pick<State, "types">, uid: string, name: string): ResourceType =>
  state.types.get(uid)?.get(name) ?? KNOWN.get(name) ?? UNTYPED;

/** Whether a value means true: in the words of the device, or in the usual ones. */
export function truthOf(text: string, { on, off }: ResourceType): boolean | null {
  const word = text.trim().toLowerCase();
  if (on && word === on.toLowerCase()) return true;
  if (off && word === off.toLowerCase()) return false;
  return WORDS.get(word) ?? null;
}

/** Whether it is one of the usual words, which the page translates; `open` is not. */
export const isUsual = (text: string): boolean => WORDS.has(text.trim().toLowerCase());

const WORDS: ReadonlyMap<string, boolean> = new Map(
  ["1 0", "on off", "true false", "yes no"].flatMap((pair) => pair.split(" ").map((word, index) => [word, !index] as [string, boolean])),
);

/** The payload that switches a boolean. */
export const payloadOf = (value: boolean, { on = "1", off = "0" }: ResourceType): string => (value ? on : off);
