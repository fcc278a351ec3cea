// SPDX-License-Identifier: BSD-3-Clause
/** Gaps of the samples of a sparkline. */
import { gapAfter } from "./model/curves";

/** The same samples, with NaN where the node was silent for much longer than it usually is. */
export function withGaps(samples: readonly [time: number, value: number][]): [time: number, value: number][] {
  const limit = gapAfter(samples.map(([time]) => time));
  return samples.flatMap((sample, index) =>
    index && sample[0] - samples[index - 1][0] > limit ? [[samples[index - 1][0], NaN] as [number, number], sample] : [sample],
  );
}
