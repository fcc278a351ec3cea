// SPDX-License-Identifier: BSD-3-Clause
/** Outlines of countries that need no internet: TopoJSON → polygons of land and lines of borders. */
import topology from "world-atlas/countries-110m.json";
import { LATITUDE_MAX, nearTo } from "./model/geo";

interface Geometry {
  type: string;
  arcs: number[][] | number[][][];
}

interface Topology {
  arcs: number[][][];
  transform: { scale: number[]; translate: number[] };
  objects: { countries: { geometries: Geometry[] }; land: { geometries: Geometry[] } };
}

/** Latitude, longitude: in the order of the map. */
type LatLng = [number, number];

/** The world is drawn this many times, so that a map around the antimeridian has both sides. */
const TURNS = [-360, 0, 360];
const { arcs, transform, objects } = topology as unknown as Topology;

function lines(): LatLng[][] {
  const [scaleX, scaleY] = transform.scale;
  const [moveX, moveY] = transform.translate;
  return arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]): LatLng => {
      x += dx;
      y += dy;
      return [y * scaleY + moveY, x * scaleX + moveX];
    });
  });
}

/** Longitudes made continuous: the data jumps at the antimeridian. */
function joined(line: LatLng[]): LatLng[] {
  let before = line[0][1];
  return line.map(([lat, lng]) => [lat, (before = nearTo(lng, before))]);
}

/** A ring around a pole ends a whole turn away from its start: it is closed along the edge of the map. */
function closed(ring: LatLng[]): LatLng[] {
  const line = joined(ring);
  const [[lat, start], end] = [line[0], line[line.length - 1][1]];
  if (Math.abs(end - start) < 180) return line;
  const edge = lat < 0 ? -LATITUDE_MAX : LATITUDE_MAX;
  return [...line, [edge, end], [edge, start]];
}

const turned = <T>(shapes: T[], turn: (shape: T, by: number) => T): T[] => TURNS.flatMap((by) => shapes.map((shape) => turn(shape, by)));
const moved = (line: LatLng[], by: number): LatLng[] => (by ? line.map(([lat, lng]): LatLng => [lat, lng + by]) : line);

/** Polygons of rings, and the lines of coasts and borders, each once per turn. */
export function outlines(): { land: LatLng[][][]; borders: LatLng[][] } {
  const all = lines();
  // A negative index is the reversed arc of its complement.
  const line = (index: number) => (index < 0 ? [...all[~index]].reverse() : all[index]);
  const ring = (indices: number[]) => indices.flatMap(line);
  const land = objects.land.geometries.flatMap(({ arcs: polygons }) => (polygons as number[][][]).map((rings) => rings.map((its) => closed(ring(its)))));
  return {
    land: turned(land, (rings, by) => rings.map((its) => moved(its, by))),
    borders: turned(all.map(joined), moved),
  };
}
