// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import type { Rule } from "../src/alertsApi";
import { limitsOf, LIMITS_MAX, withLimits, type Limit } from "../src/model/limits";
import type { Resource } from "../src/model/types";

const resource = { name: "temperature", node: { uid: "a", gateway: "coap", registered: { tags: ["lab"], room: "Roof" } } } as unknown as Resource;
const rule = (more: Partial<Rule> = {}): Rule => ({ title: "Warm", when: "above", resource: "temperature", limit: 30, ...more });
const found = (...rules: Rule[]) => limitsOf(rules, resource, (view) => view === "mine").map(({ at }) => at);

describe("limits of rules", () => {
  it("are those of rules that watch the resource", () => {
    expect(limitsOf([rule({ severity: "critical" })], resource, () => false)).toEqual([{ title: "Warm", at: 30, isAbove: true, severity: "critical" }]);
    expect(found(rule({ when: "below", limit: 0 }))).toEqual([0]);
    expect(found(rule({ resource: "humidity" }), rule({ enabled: false }), rule({ when: "change" }), rule({ when: "no data", limit: undefined }))).toEqual([]);
  });

  it("are those of rules that watch the node", () => {
    expect(found(rule({ uids: ["b"] }), rule({ tags: ["plants"] }), rule({ rooms: ["Cellar"] }), rule({ gateways: ["mqtt"] }), rule({ view: "theirs" }))).toEqual([]);
    expect(found(rule({ uids: ["b", "a"], tags: ["lab"], rooms: ["Roof"], gateways: ["coap"], view: "mine" }))).toEqual([30]);
  });

  it("are a few", () => {
    expect(found(...Array.from({ length: 9 }, (_, limit) => rule({ limit })))).toHaveLength(LIMITS_MAX);
  });

  it("are on the axis if they are near", () => {
    const at = (...all: number[]) => all.map((it): Limit => ({ title: "", at: it, isAbove: true, severity: "info" }));
    expect(withLimits(20, 24, at(27))).toEqual([20, 27]);
    expect(withLimits(20, 24, at(17, 22))).toEqual([17, 24]);
    expect(withLimits(20, 24, at(5, 100))).toEqual([20, 24]);
    expect(withLimits(20, 24, [])).toEqual([20, 24]);
  });
});
