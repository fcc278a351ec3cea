// SPDX-License-Identifier: BSD-3-Clause
/** Geometry of the map: scale, grid, clusters, tracks. Pure. Longitudes may leave ±180 to be continuous. */
import type { Position } from "./readings";

/** Mean radius of the Earth in metres. */
const EARTH_M = 6_371_008.8;
/** Pixels of one tile: at zoom 0 they are the whole world. */
const TILE_PX = 256;
export const METRES_PER_DEGREE = (Math.PI * EARTH_M) / 180;
const RADIANS = Math.PI / 180;

/** Web Mercator ends here. */
export const LATITUDE_MAX = 85.05;

export const metresPerPixel = (lat: number, zoom: number): number => (Math.cos(lat * RADIANS) * 360 * METRES_PER_DEGREE) / (TILE_PX * 2 ** zoom);

/** The largest of 1, 2, 5 × 10ⁿ that is not more than `most`. */
export function roundBelow(most: number): number {
  const decade = 10 ** Math.floor(Math.log10(most));
  return [5, 2].map((digit) => digit * decade).find((round) => round <= most * (1 + 1e-9)) ?? decade;
}

/** The smallest of 1, 2, 5 × 10ⁿ that is not less than `least`. */
export function roundAbove(least: number): number {
  const decade = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5].map((digit) => digit * decade).find((round) => round >= least * (1 - 1e-9)) ?? 10 * decade;
}

/** A round distance, and the pixels it has at this latitude. */
export function scaleOf(lat: number, zoom: number, pixelsMax: number): { metres: number; pixels: number } {
  const each = metresPerPixel(lat, zoom);
  const metres = roundBelow(each * pixelsMax);
  return { metres, pixels: metres / each };
}

/** The same longitude, within half a turn of `near`. */
export const nearTo = (lng: number, near: number): number => lng + 360 * Math.round((near - lng) / 360);

/** −180 up to 180. */
export const normal = (lng: number): number => {
  const turned = nearTo(lng, 0);
  return turned === -180 ? 180 : turned;
};

/** Longitudes of a line, made continuous: each within half a turn of the one before. */
export function continuous(points: readonly Position[]): Position[] {
  let before: number | undefined;
  return points.map(({ lat, lng }) => {
    before = before === undefined ? lng : nearTo(lng, before);
    return { lat, lng: before };
  });
}

export interface Box {
  south: number;
  west: number;
  north: number;
  /** At least `west`; above 180 if the box crosses the antimeridian. */
  east: number;
}

/** The smallest box around the points, also across the antimeridian. */
export function boxAround(points: readonly Position[]): Box | null {
  if (!points.length) return null;
  const lats = points.map(({ lat }) => lat);
  const lngs = points.map(({ lng }) => normal(lng)).sort((a, b) => a - b);
  // What lies outside the box is the widest gap between two neighbours.
  let [west, east, widest] = [lngs[0], lngs[lngs.length - 1], lngs[0] + 360 - lngs[lngs.length - 1]];
  for (let at = 1; at < lngs.length; at += 1) {
    const gap = lngs[at] - lngs[at - 1];
    if (gap > widest) [widest, west, east] = [gap, lngs[at], lngs[at - 1] + 360];
  }
  return { south: lats.reduce((a, b) => Math.min(a, b)), north: lats.reduce((a, b) => Math.max(a, b)), west, east };
}

export interface Point<T> {
  item: T;
  /** Pixels of the world at the zoom. */
  x: number;
  y: number;
}

export interface Cluster<T> {
  items: T[];
  x: number;
  y: number;
}

/** Points that are nearer than `radius` pixels to the first one of a cluster become one. */
export function clustersOf<T>(points: readonly Point<T>[], radius: number): Cluster<T>[] {
  const cells = new Map<string, { at: Point<T>; cluster: Cluster<T> }[]>();
  const found: Cluster<T>[] = [];
  for (const at of points) {
    const [column, row] = [Math.floor(at.x / radius), Math.floor(at.y / radius)];
    let nearest: Cluster<T> | undefined;
    let least = radius ** 2;
    for (let dx = -1; dx <= 1; dx += 1)
      for (let dy = -1; dy <= 1; dy += 1)
        for (const { at: first, cluster } of cells.get(`${column + dx} ${row + dy}`) ?? []) {
          const squared = (first.x - at.x) ** 2 + (first.y - at.y) ** 2;
          if (squared < least) [least, nearest] = [squared, cluster];
        }
    if (nearest) {
      const { items } = nearest;
      items.push(at.item);
      nearest.x += (at.x - nearest.x) / items.length;
      nearest.y += (at.y - nearest.y) / items.length;
      continue;
    }
    const cluster = { items: [at.item], x: at.x, y: at.y };
    found.push(cluster);
    const key = `${column} ${row}`;
    const others = cells.get(key);
    if (others) others.push({ at, cluster });
    else cells.set(key, [{ at, cluster }]);
  }
  return found;
}

/** Places around a point for nodes that are all there, in rings. */
export function fan(count: number, spacing: number): { x: number; y: number }[] {
  const places: { x: number; y: number }[] = [];
  for (let ring = 1; places.length < count; ring += 1) {
    const radius = spacing * (ring + 0.5);
    const most = Math.max(3, Math.floor((2 * Math.PI * radius) / spacing));
    const here = Math.min(most, count - places.length);
    for (let at = 0; at < here; at += 1) {
      const angle = (2 * Math.PI * at) / here - Math.PI / 2;
      places.push({ x: radius * Math.cos(angle), y: radius * Math.sin(angle) });
    }
  }
  return places;
}

/** At least this many pixels are between two lines of the grid. */
const GRID_PX = 90;
/** Round parts of a degree, down to 10⁻⁶. */
const DEGREES = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60];
/** Below this step, the cells of the grid are squares of round metres. */
const METRIC_DEGREES = 0.1;
const LINES_MAX = 80;

export interface Grid {
  /** Metres of a cell; 0: the lines are at round degrees. */
  metres: number;
  lats: number[];
  lngs: number[];
  /** Digits behind the point that the labels need. */
  digits: number;
}

const series = (from: number, to: number, step: number): number[] => {
  const first = Math.ceil(from / step);
  const count = Math.min(LINES_MAX, Math.floor(to / step) - first + 1);
  return Array.from({ length: Math.max(0, count) }, (_, at) => (first + at) * step);
};

/** The lines of the grid in a part of the map: at round degrees, or, zoomed in, round metres apart. */
export function gridOf({ south, west, north, east }: Box, zoom: number): Grid {
  const degreesPerPixel = 360 / (TILE_PX * 2 ** zoom);
  const least = degreesPerPixel * GRID_PX;
  const [bottom, top] = [Math.max(-LATITUDE_MAX, south), Math.min(LATITUDE_MAX, north)];
  if (least >= METRIC_DEGREES / 2) {
    const step = DEGREES.find((degrees) => degrees >= least) ?? 60;
    return { metres: 0, lats: series(bottom, top, step), lngs: series(west, east, step), digits: step < 1 ? 1 : 0 };
  }
  // The same columns for all of the neighbourhood, so that they stay when the map moves.
  const lat = Math.round((bottom + top) / 2 / METRIC_DEGREES) * METRIC_DEGREES;
  const metres = roundAbove(metresPerPixel(lat, zoom) * GRID_PX);
  const step = metres / METRES_PER_DEGREE;
  return {
    metres,
    lats: series(bottom, top, step),
    lngs: series(west, east, step / Math.cos(lat * RADIANS)),
    digits: Math.min(6, Math.max(3, Math.ceil(-Math.log10(step)) + 1)),
  };
}

/** Metres between two positions. */
export function distance(a: Position, b: Position): number {
  const half = (degrees: number) => Math.sin((degrees * RADIANS) / 2) ** 2;
  const share = half(b.lat - a.lat) + Math.cos(a.lat * RADIANS) * Math.cos(b.lat * RADIANS) * half(b.lng - a.lng);
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(share)));
}

/** A node moves if it was this far from its first position. */
const MOVES_M = 15;

export const moves = (track: readonly Position[]): boolean => track.some((at) => distance(track[0], at) > MOVES_M);

/** A track may have a gap: readings further apart in time are not joined. */
export interface TrackPoint extends Position {
  ts: number;
}

/** The parts of a track, each continuous in time and across the antimeridian. */
export function partsOf(track: readonly TrackPoint[], gap: number): Position[][] {
  const parts: TrackPoint[][] = [];
  for (const point of track) {
    const last = parts.at(-1);
    const before = last?.at(-1);
    if (last && before && point.ts - before.ts <= gap) last.push(point);
    else parts.push([point]);
  }
  return parts.filter(({ length }) => length > 1).map(continuous);
}
