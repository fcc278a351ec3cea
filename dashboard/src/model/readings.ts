// SPDX-License-Identifier: BSD-3-Clause
/** Parses the text of a device: number and unit, a position, vectors of an inertial sensor. */

import type { Kind } from "../messages";

/** Resources that describe a node and rarely change. */
export const FACTS: ReadonlySet<string> = new Set(
  "name os board mcu vendor version ip protocol id dialect".split(" "),
);
/** Numbers that stand for something else. */
const CODES: ReadonlySet<string> = new Set(["suit_state", "dwnld"]);
const NUMBER = /^\s*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d{1,3})?)\s*([^\d\s.,:;+-]\S{0,9})?\s*$/i;
const JSON_SIZE_MAX = 4096;
const VECTORS_MAX = 4;

export interface Quantity {
  value: number;
  /** As the device wrote it: `23.50` is not `23.5`. */
  digits: string;
  unit: string;
}

/**
 * The number as the device wrote it. If the text is a number, the broker sends `value`; with a legacy
 * broker the text is parsed here.
 */
export function readQuantity(
  name: string,
  kind: Kind | undefined,
  message: { data: unknown; value?: number; unit?: string },
  legacy: boolean,
): Quantity | null {
  if (FACTS.has(name) || CODES.has(name) || (kind !== undefined && kind !== "number")) return null;
  const { data, value, unit } = message;
  const match = typeof data === "string" || typeof data === "number" ? NUMBER.exec(String(data)) : null;
  if (typeof value === "number")
    return match
      ? { value, digits: match[1], unit: match[2] ?? "" }
      : { value, digits: String(Number(value.toPrecision(6))), unit: spelled(unit) };
  if (!legacy || !match) return null;
  const read = Number(match[1]);
  // As the broker does it: a rounded identifier would be another one.
  const rounded = /^[-+]?\d+$/.test(match[1]) && Math.abs(read) > Number.MAX_SAFE_INTEGER;
  return rounded || !Number.isFinite(read) ? null : { value: read, digits: match[1], unit: match[2] ?? "" };
}

/** A unit for people. */
export const spelled = (unit = ""): string => SPELLED[unit] ?? unit;
const SPELLED: Record<string, string> = { Cel: "°C", "%RH": "%", "%EL": "%", "/100": "%", "/1000": "‰" };

export interface Position {
  lat: number;
  lng: number;
}

export function readPosition(data: unknown): Position | null {
  const it = parsed(data) as Partial<Position> | null;
  if (typeof it?.lat !== "number" || typeof it.lng !== "number") return null;
  return Math.abs(it.lat) <= 90 && Math.abs(it.lng) <= 180 ? { lat: it.lat, lng: it.lng } : null;
}

export interface Vector {
  type: string;
  values: number[];
}

/** `[{"type":"acc","values":[x,y,z]},…]`; acceleration and rotation may arrive separately. */
export function readVectors(data: unknown): Vector[] | null {
  const it = parsed(data);
  if (!Array.isArray(it) || !it.length || it.length > VECTORS_MAX) return null;
  for (const part of it as Partial<Vector>[])
    if (
      typeof part?.type !== "string" ||
      !Array.isArray(part.values) ||
      part.values.length > 4 ||
      !part.values.every((value) => Number.isFinite(value))
    )
      return null;
  return it as Vector[];
}

function parsed(data: unknown): unknown {
  if (typeof data !== "string") return data;
  if (!/^\s*[[{]/.test(data) || data.length > JSON_SIZE_MAX) return null;
  try {
    return JSON.parse(data);
  } catch {
    return null; // not vectors after all
  }
}

/** Text of any value, for people. */
export function textOf(data: unknown): string {
  return typeof data === "string" ? data : JSON.stringify(data);
}
