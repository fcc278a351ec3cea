// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import type { NodeLimit } from "../src/alertsApi";
import { limitsOf, LIMITS_MAX, withLimits, type Limit } from "../src/model/limits";

const limit = (more: Partial<NodeLimit> = {}): NodeLimit => ({ title: "Warm", when: "above", resource: "temperature", limit: 30, severity: "critical", ...more });

describe("limits of rules", () => {
  it("are those of the resource", () => {
    expect(limitsOf([limit(), limit({ resource: "humidity" }), limit({ when: "below", limit: 0, severity: "info" })], "temperature")).toEqual([
      { title: "Warm", at: 30, isAbove: true, severity: "critical" },
      { title: "Warm", at: 0, isAbove: false, severity: "info" },
    ]);
  });

  it("are a few", () => {
    expect(limitsOf(Array.from({ length: 9 }, (_, at) => limit({ limit: at })), "temperature")).toHaveLength(LIMITS_MAX);
  });

  it("are on the axis if they are near", () => {
    const at = (...all: number[]) => all.map((it): Limit => ({ title: "", at: it, isAbove: true, severity: "info" }));
    expect(withLimits(20, 24, at(27))).toEqual([20, 27]);
    expect(withLimits(20, 24, at(17, 22))).toEqual([17, 24]);
    expect(withLimits(20, 24, at(5, 100))).toEqual([20, 24]);
    expect(withLimits(20, 24, [])).toEqual([20, 24]);
  });
});
