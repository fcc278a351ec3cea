// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { Ring } from "../src/model/ring";
import { sparkPaths } from "../src/ui/sparkline";

const ring = (...values: number[]): Ring => {
  const it = new Ring();
  values.forEach((value, at) => (Number.isNaN(value) ? it.gap(at) : it.push(at, value)));
  return it;
};
const points = (path: string) => [...path.matchAll(/[ML](\S+) ([\d.-]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);

describe("sparkline", () => {
  it("ends at the right edge, with its last sample", () => {
    const [[line, last]] = sparkPaths([ring(20, 25, 30)], "°C", 64, 34);
    const [x, y] = points(line).at(-1)!;
    expect(x).toBe(61);
    expect(last).toBe(`M61 ${y.toFixed(1)}h0`);
  });

  it("stays inside its height, higher values above", () => {
    const [[line]] = sparkPaths([ring(20, 30, 40)], "°C", 64, 34);
    const heights = points(line).map(([, y]) => y);
    expect(heights).toEqual([...heights].sort((a, b) => b - a));
    expect(Math.max(...heights)).toBeLessThanOrEqual(31);
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(3);
  });

  it("leaves gaps empty, and has no last sample in one", () => {
    const [[line, last]] = sparkPaths([ring(1, 2, NaN, 3, NaN)], "", 64, 34);
    expect(line.match(/M/g)).toHaveLength(2);
    expect(last).toBe("");
  });

  it.each([[[1e308, -1e308, 5e-324]], [[0, 0]], [[Number.MAX_VALUE]]])("draws every finite number: %o", (values) => {
    expect(sparkPaths([ring(...values)], "", 64, 34).flat().join()).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("has one range for the lines of a vector", () => {
    const [[first], [second]] = sparkPaths([ring(0, 0), ring(10, 10)], "", 140, 40);
    expect(points(first)[0][1]).toBeGreaterThan(points(second)[0][1]);
  });

  it("is empty without samples", () => {
    expect(sparkPaths([new Ring()], "", 64, 34)).toEqual([]);
  });
});
