// SPDX-License-Identifier: BSD-3-Clause
/** Numbers for people: short forms of long digits, and axes that hold for every finite number. */

/** Longer digits are shown in a short form. */
export const DIGITS_MAX = 11;
const SIGNIFICANT = 9;
const PLAIN_MAX = 1e10;
const PLAIN_MIN = 1e-4;
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** `1.5×10²⁰` for `1.5e+20`. Other digits are unchanged. */
function typeset(digits: string): string {
  const [mantissa, exponent] = digits.split("e");
  if (exponent === undefined) return digits;
  const raised = exponent.replace("+", "").replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPTS[Number(digit)]);
  return `${mantissa}×10${raised}`;
}

const withoutZeros = (digits: string): string => digits.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");

/** The digits that count: equal for `1.50e3` and `1500`. */
const significand = (digits: string): string =>
  digits.replace(/^[+-]/, "").replace(/e.*$/i, "").replace(".", "").replace(/^0+|0+$/g, "");

/** Decimals of numbers from 1 on; smaller ones have this many digits that count, and one more. */
const DECIMALS = 2;

/**
 * The one rounding of the page: on cards, in lists, in tables, over charts. `precision`: decimals that
 * people or the device stated. Other digits than plain decimals are unchanged.
 */
export function roundDigits(digits: string, precision?: number): string {
  const decimals = /^[+-]?\d+\.(\d+)$/.exec(digits)?.[1].length ?? 0;
  const size = Math.abs(Number(digits));
  const places = precision ?? (size >= 1 || size === 0 ? DECIMALS : DECIMALS - Math.floor(Math.log10(size)));
  return decimals > places && places <= 20 ? Number(digits).toFixed(Math.max(0, places)) : digits;
}

/** At most about `DIGITS_MAX` characters for the digits of a finite number; `≈` if more than decimals is left out. */
export function shortDigits(all: string, precision?: number): string {
  const digits = roundDigits(all, precision);
  if (digits.length <= DIGITS_MAX) return digits;
  const value = Number(digits);
  if (!Number.isFinite(value)) return digits;
  const size = Math.abs(value);
  const places = SIGNIFICANT - Math.max(1, Math.floor(Math.log10(size || 1)) + 1);
  const short = withoutZeros(size === 0 || (size >= PLAIN_MIN && size < PLAIN_MAX) ? value.toFixed(Math.max(0, places)) : value.toExponential(5));
  return `${significand(short) === significand(digits) ? "" : "≈ "}${typeset(short)}`;
}

/** A component of a vector, with two decimals. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  return typeset(withoutZeros(size >= 0.005 && size < 1e6 ? value.toFixed(2) : value.toExponential(2)));
}

/** The smallest span of an axis, so that noise does not look like an event. */
function sensibleSpan(unit: string): number {
  switch (unit) {
    case "°C":
    case "Cel":
      return 2;
    case "%":
      return 5;
    case "hPa":
    case "mbar":
      return 4;
    case "lx":
    case "lux":
      return 50;
    case "ppm":
      return 50;
    case "V":
      return 0.2;
    default:
      return 0;
  }
}

/** A double has 15 digits; a span below this share of its ends would have no places between them. */
const LEAST_SHARE = 1e-9;
const LEAST = 1e-305;

/** Both ends of an axis that shows `low` to `high`, with at least the sensible span. Both are finite. */
export function axisRange(low: number, high: number, unit: string): [number, number] {
  const largest = Math.max(Math.abs(low), Math.abs(high));
  const least = Math.max(sensibleSpan(unit) || largest * 0.01 || 1, largest * LEAST_SHARE, LEAST);
  const missing = Math.max(0, least - (high - low)) / 2;
  const room = high * 0.08 - low * 0.08; // the difference itself may exceed a double
  return [Math.max(-Number.MAX_VALUE, low - missing - room), Math.min(Number.MAX_VALUE, high + missing + room)];
}

/** Where a value is between two ends: 0 is `low`, 1 is `high`. */
export const share = (value: number, low: number, high: number): number => (value / 2 - low / 2) / (high / 2 - low / 2);

export interface Tick {
  /** From 0 to 1. */
  at: number;
  text: string;
}

const TICKS = 5;

/** Round values of an axis, and where they are. */
export function axisTicks(low: number, high: number): Tick[] {
  const rough = high / TICKS - low / TICKS;
  const exponent = Math.floor(Math.log10(rough));
  const base = 10 ** exponent;
  const step = ([1, 2, 5].find((digit) => digit * base >= rough) ?? 10) * base;
  const first = Math.ceil(low / step);
  const count = Math.min(2 * TICKS, Math.floor(high / step) - first);
  const places = -Math.floor(Math.log10(step) + 1e-9);
  const plain = Math.max(Math.abs(low), Math.abs(high)) < 1e9 && places <= 6;
  return Array.from({ length: count + 1 }, (_, index) => {
    const value = (first + index) * step;
    const exact = plain ? value.toFixed(Math.max(0, places)) : value === 0 ? "0" : value.toExponential(significant(value, places));
    return { at: share(value, low, high), text: typeset(exact) };
  });
}

/** Decimals of a mantissa, down to the place of the step. */
const significant = (value: number, places: number): number => Math.min(12, Math.max(0, Math.floor(Math.log10(Math.abs(value)) + 1e-9) + places));
