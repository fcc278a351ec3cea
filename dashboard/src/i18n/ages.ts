// SPDX-License-Identifier: BSD-3-Clause
/** Ages and durations in words. */

export type Code = "en" | "fr" | "de";

const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
] as const;

function inUnit(seconds: number): [number, (typeof UNITS)[number][0]] {
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? UNITS[3];
  return [unit === "second" ? Math.round(seconds) : Math.floor(seconds / size), unit];
}

const relative: Partial<Record<Code, Intl.RelativeTimeFormat>> = {};

/** "now", "5s ago", "il y a 16 min". What seems to be in the future is now: clocks differ. */
export function formatAge(code: Code, seconds: number): string {
  if (Number.isNaN(seconds)) return "";
  relative[code] ??= new Intl.RelativeTimeFormat(code, {
    style: code === "en" ? "narrow" : "short", // narrow French is "-16 min"
    numeric: "auto",
  });
  const [n, unit] = seconds < 1.5 ? [0, "second" as const] : inUnit(seconds);
  return relative[code].format(-n, unit);
}

/** "10 min", "2 Std.", "3 j". */
export function formatDuration(code: Code, seconds: number): string {
  const [n, unit] = inUnit(Math.max(0, seconds));
  if (unit === "second") return `${n}\u00a0s`;
  return new Intl.NumberFormat(code, { style: "unit", unit, unitDisplay: "short" }).format(n);
}
