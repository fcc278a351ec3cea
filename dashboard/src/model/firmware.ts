// SPDX-License-Identifier: BSD-3-Clause
/** A node's firmware update, from its `suit_state` and `dwnld` (legacy protocol, section 7). */
import { fact, type Node } from "./state";

export type StepName = "triggered" | "signature" | "download" | "digest" | "done";
export const STEPS: readonly StepName[] = ["triggered", "signature", "download", "digest", "done"];

export interface Firmware {
  version: string;
  /** Index of the current step; -1: no update. */
  step: number;
  /** Translation key of the error, if any. */
  failed: "" | "signature_invalid" | "sequence" | "download_failed" | "digest_invalid";
  /** Percent, during the download. */
  percent: number;
}

// Code → step and error.
const CODES: Record<string, [number, Firmware["failed"]]> = {
  "0": [-1, ""],
  "1": [0, ""],
  "2": [1, ""],
  "3": [1, "signature_invalid"],
  "5": [1, "sequence"],
  "6": [2, ""],
  "8": [2, "download_failed"],
  "9": [3, ""],
  "10": [3, "digest_invalid"],
  "11": [4, ""],
};

/** null: the node does not report updates. */
export function firmware(node: Node): Firmware | null {
  const state = node.resources.get("suit_state");
  if (!state) return null;
  const [step, failed] = CODES[state.text.trim()] ?? [-1, ""];
  const percent = Math.min(100, Math.max(0, parseFloat(fact(node, "dwnld")) || 0));
  return { version: fact(node, "version"), step, failed, percent: step > 2 ? 100 : percent };
}
