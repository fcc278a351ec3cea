// SPDX-License-Identifier: BSD-3-Clause
/** Coastlines that need no internet: TopoJSON → GeoJSON. */
import topology from "world-atlas/land-110m.json";

interface Topology {
  arcs: number[][][];
  transform: { scale: number[]; translate: number[] };
  objects: { land: { geometries: { arcs: number[][][] }[] } };
}

export function landPolygons(): { type: "MultiPolygon"; coordinates: [number, number][][][] } {
  const { arcs, transform, objects } = topology as unknown as Topology;
  const [scaleX, scaleY] = transform.scale;
  const [moveX, moveY] = transform.translate;
  const lines = arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]): [number, number] => {
      x += dx;
      y += dy;
      return [x * scaleX + moveX, y * scaleY + moveY];
    });
  });
  // A negative index is the reversed arc of its complement.
  const line = (index: number) => (index < 0 ? [...lines[~index]].reverse() : lines[index]);
  const coordinates = objects.land.geometries.flatMap(({ arcs: polygons }) =>
    polygons.map((rings) => rings.map((ring) => ring.flatMap(line))),
  );
  return { type: "MultiPolygon", coordinates };
}
