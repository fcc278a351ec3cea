// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { axisRange, axisTicks, DIGITS_MAX, share, roundDigits, shortDigits, shortNumber } from "../src/model/figures";

const EXTREMES = [0, -0, 1, 21.5, 1e20, -1e20, 1e-300, 5e-324, 1e308, -1e308, Number.MAX_VALUE, -Number.MAX_VALUE, 2 ** 53, 2 ** 53 + 2, 1e15 + 0.25, 1e-310];

describe("axes", () => {
  const pairs = EXTREMES.flatMap((a) => EXTREMES.map((b): [number, number] => [Math.min(a, b), Math.max(a, b)]));

  it.each(["", "V", "°C"])("every finite number is on an axis of finite ends, with ticks (unit %s)", (unit) => {
    for (const [least, most] of pairs) {
      const [low, high] = axisRange(least, most, unit);
      expect([low, high].every(Number.isFinite), `${least} ${most}`).toBe(true);
      expect(low).toBeLessThan(high);
      for (const value of [least, most]) {
        expect(share(value, low, high), `${value} of ${least} ${most}`).toBeGreaterThanOrEqual(0);
        expect(share(value, low, high)).toBeLessThanOrEqual(1);
      }
      const ticks = axisTicks(low, high);
      expect(ticks.length, `${low} ${high}`).toBeGreaterThanOrEqual(2);
      expect(ticks.length).toBeLessThanOrEqual(9);
      expect(new Set(ticks.map(({ text }) => text)).size, JSON.stringify(ticks)).toBe(ticks.length);
      expect(JSON.stringify(ticks)).not.toMatch(/Infinity|NaN|null/);
    }
  });

  it("noise does not look like an event", () => {
    const [low, high] = axisRange(21, 21.1, "°C");
    expect(high - low).toBeGreaterThanOrEqual(2);
    expect((low + high) / 2).toBeCloseTo(21.05);
  });

  it("ticks are round", () => {
    expect(axisTicks(19.2, 23.1).map(({ text }) => text)).toEqual(["20", "21", "22", "23"]);
    expect(axisTicks(0.1, 0.9).map(({ text }) => text)).toEqual(["0.2", "0.4", "0.6", "0.8"]);
    expect(axisTicks(-1.2e308, 1.2e308).map(({ text }) => text)).toEqual(["-1.0×10³⁰⁸", "-5×10³⁰⁷", "0", "5×10³⁰⁷", "1.0×10³⁰⁸"]);
    expect(axisTicks(9.95e19, 1.005e20).map(({ text }) => text)).toEqual(["9.96×10¹⁹", "9.98×10¹⁹", "1.000×10²⁰", "1.002×10²⁰", "1.004×10²⁰"]);
  });
});

describe("long digits", () => {
  it.each([
    ["23.50", "23.50"],
    ["1013.2534", "1013.25"],
    ["1e+20", "1e+20"],
    ["1764457780", "1764457780"],
    ["123456789012345678", "≈ 1.23457×10¹⁷"],
    ["1234567890123456789012", "≈ 1.23457×10²¹"],
    ["-123456789012345678.25", "≈ -1.23457×10¹⁷"],
    ["100000000000000000000", "1×10²⁰"],
    ["23.4999999999999993", "23.50"],
    ["21.50000000000000", "21.50"],
    ["1764457780.123456", "≈ 1764457780"],
    ["0.1234567890123456789012", "0.123"],
    ["0.00001234567890123456", "0.0000123"],
    ["-0.000000000000000000", "0.00"],
    ["1.797693134862315708e+308", "≈ 1.79769×10³⁰⁸"],
  ])("%s is %s", (digits, short) => {
    expect(shortDigits(digits)).toBe(short);
    expect(short.replace("≈ ", "").length).toBeLessThanOrEqual(DIGITS_MAX + 3);
  });

  it("a stated precision replaces the two decimals, and adds none", () => {
    expect([roundDigits("21.98765", 1), roundDigits("21.98768", 4), roundDigits("21.5", 3), roundDigits("21.5", 0)]).toEqual(["22.0", "21.9877", "21.5", "22"]);
  });

  it.each([
    [0, "0"],
    [0.98, "0.98"],
    [304, "304"],
    [-9.806, "-9.81"],
    [1e308, "1×10³⁰⁸"],
    [-1.5e20, "-1.5×10²⁰"],
    [5e-324, "4.94×10⁻³²⁴"],
  ])("the component %s of a vector is %s", (value, short) => {
    expect(shortNumber(value)).toBe(short);
  });
});
