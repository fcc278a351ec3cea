// SPDX-License-Identifier: BSD-3-Clause
/** The limits of alert rules, as lines in charts. */
import type { Severity } from "../alerts";
import type { Rule } from "../alertsApi";
import type { Resource } from "./types";

/** Further ones would hide the values. */
export const LIMITS_MAX = 4;

export interface Limit {
  title: string;
  at: number;
  isAbove: boolean;
  severity: Severity;
}

/** The limits that apply to a resource. `isInView`: whether its node is in a saved view. */
export function limitsOf(rules: readonly Rule[], { node, name }: Resource, isInView: (view: string) => boolean): Limit[] {
  const { tags = [], room = "" } = node.registered ?? {};
  const has = (list: readonly string[] | undefined, own: readonly string[]) => !list?.length || own.some((it) => list.includes(it));
  return rules
    .filter((rule) => rule.enabled !== false && rule.resource === name && has(rule.uids, [node.uid]) && has(rule.tags, tags) && has(rule.rooms, [room]) && has(rule.gateways, [node.gateway]) && (!rule.view || isInView(rule.view)))
    .flatMap(({ title, when, limit, severity = "warning" }) => ((when === "above" || when === "below") && limit !== undefined ? { title, at: limit, isAbove: when === "above", severity } : []))
    .slice(0, LIMITS_MAX);
}

/** The range of an axis with the limits that are not farther from the values than their own range. */
export function withLimits(low: number, high: number, limits: readonly Limit[]): [number, number] {
  const near = limits.map(({ at }) => at).filter((at) => at >= low - (high - low) && at <= high + (high - low));
  return [Math.min(low, ...near), Math.max(high, ...near)];
}
