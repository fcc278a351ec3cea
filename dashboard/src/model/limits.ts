// SPDX-License-Identifier: BSD-3-Clause
/** The limits of alert rules, as lines in charts. */
import type { Severity } from "../alerts";
import type { NodeLimit } from "../alertsApi";

/** Further ones would hide the values. */
export const LIMITS_MAX = 4;

export interface Limit {
  title: string;
  at: number;
  isAbove: boolean;
  severity: Severity;
}

/** The limits of a resource, of those of its node. */
export const limitsOf = (all: readonly NodeLimit[], name: string): Limit[] =>
  all
    .filter(({ resource }) => resource === name)
    .map(({ title, when, limit, severity }) => ({ title, at: limit, isAbove: when === "above", severity }))
    .slice(0, LIMITS_MAX);

/** The range of an axis with the limits that are not farther from the values than their own range. */
export function withLimits(low: number, high: number, limits: readonly Limit[]): [number, number] {
  const near = limits.map(({ at }) => at).filter((at) => at >= low - (high - low) && at <= high + (high - low));
  return [Math.min(low, ...near), Math.max(high, ...near)];
}
