// SPDX-License-Identifier: BSD-3-Clause
/** The last changes of a value. */
import type { Sample } from "./segments";

/** The last `count` changes, the latest first. Samples in order of time; one that repeats the value before it is none. */
export function lastChanges(samples: readonly Sample[], count: number): Sample[] {
  const found: Sample[] = [];
  for (const sample of samples) if (found.at(-1)?.text !== sample.text) found.push(sample);
  return found.slice(-count).reverse();
}
