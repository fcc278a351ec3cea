// SPDX-License-Identifier: BSD-3-Clause
/** An icon for each kind of resource, 20 by 20; loaded after the first cards. */
import type { Resource } from "../model/state";

const PATHS = {
  temperature: "M8 11V4.500a2 2 0 0 1 4 0V11a4 4 0 1 1-4 0M10 8v6",
  humidity: "M10 3c3 4 4.500 6 4.500 8.500a4.500 4.500 0 0 1-9 0C5.500 9 7 7 10 3",
  pressure: "M3.500 14a7 7 0 1 1 13 0M10 13l3-4.500",
  light: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7M10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.500 4.500l1 1M14.500 14.500l1 1M15.500 4.500l-1 1M5.500 14.500l-1 1",
  air: "M3 8h8.500a2 2 0 1 0-2-2M3 11h12a2 2 0 1 1-2 2M3 14h6",
  power: "M11 2.500L5 11h4.500L9 17.500l6-8.500h-4.500z",
  battery: "M3 7h12v6H3zM17 9v2M5.500 9v2M8 9v2",
  switch: "M7 5.500h6a4.500 4.500 0 0 1 0 9H7a4.500 4.500 0 0 1 0-9M13 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  command: "M4 4h12v12H4zM8 7.500l4 2.500-4 2.500z",
  choice: "M3.500 5.500l1.500 1.500 2-3M10 6h7M3.500 13.500L5 15l2-3M10 14h7",
  colour: "M10 3a7 7 0 1 0 0 14c2 0 1-2.500 2-3.500s5 .5 5-3.500a7 7 0 0 0-7-7M6.500 9v.1M9.500 6.500v.1M13 8v.1",
  position: "M10 17.500c4-4.500 5.500-6.500 5.500-9a5.500 5.500 0 0 0-11 0c0 2.500 1.500 4.500 5.500 9M10 6.500a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  motion: "M10 3v14M3 10h14M10 3L8 5M10 3l2 2M17 10l-2-2M17 10l-2 2M3 10l2-2M3 10l2 2M10 17l-2-2M10 17l2-2",
  picture: "M3 4.500h14v11H3zM6.500 8v.1M3 14l4-3 3 2.500 3.500-4L17 13",
  script: "M7 6l-4 4 4 4M13 6l4 4-4 4",
  update: "M10 3v9M6.500 8.500L10 12l3.500-3.500M4 16h12",
  number: "M2.500 13l4-5 3.500 3 3-5 4.500 4",
  text: "M4 5h12M4 9h12M4 13h7",
} as const;
type Kind = keyof typeof PATHS;

const BY_NAME: readonly [name: RegExp, kind: Kind][] = [
  [/^(imu|accel|gyro|mag|robot|ribot)/i, "motion"],
  [/^(webcam|camera|picture|image)/i, "picture"],
  [/^js$|script/i, "script"],
  [/^(suit_state|dwnld|firmware|version)/i, "update"],
  [/temp/i, "temperature"],
  [/humid|moist/i, "humidity"],
  [/press|baro/i, "pressure"],
  [/illum|light|lux|uv|bright/i, "light"],
  [/co2|voc|pm\d|air|gas|wind/i, "air"],
  [/batt/i, "battery"],
  [/power|energy|volt|current|watt/i, "power"],
  [/position|location|gps/i, "position"],
];

const BY_UNIT: ReadonlyMap<string, Kind> = new Map([
  ...(["°C", "Cel", "°F", "K"] as const).map((unit): [string, Kind] => [unit, "temperature"]),
  ["%RH", "humidity"],
  ...(["hPa", "mbar", "Pa", "bar"] as const).map((unit): [string, Kind] => [unit, "pressure"]),
  ...(["lx", "lux"] as const).map((unit): [string, Kind] => [unit, "light"]),
  ...(["ppm", "ppb", "m/s"] as const).map((unit): [string, Kind] => [unit, "air"]),
  ...(["V", "A", "W", "kW", "Wh", "kWh"] as const).map((unit): [string, Kind] => [unit, "power"]),
]);

const BY_KIND: Readonly<Record<string, Kind>> = { boolean: "switch", command: "command", enum: "choice", colour: "colour", position: "position", vector: "motion" };

/** What a resource is, for people: by its unit, its class, its name, its kind of value. */
export function kindOf({ name, unit, kind, type }: Resource): Kind {
  const found = BY_NAME.find(([pattern]) => pattern.test(type.device_class ?? "") || pattern.test(name))?.[1];
  return BY_UNIT.get(unit) ?? (type.kind === "boolean" || type.kind === "command" ? BY_KIND[type.kind] : found) ?? BY_KIND[type.kind ?? ""] ?? (kind === "number" ? "number" : "text");
}

export const iconOf = (resource: Resource): string => PATHS[kindOf(resource)];
