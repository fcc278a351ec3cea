// SPDX-License-Identifier: BSD-3-Clause
/** What can be drawn over time: the numbers of a node, and the vectors of its inertial sensor. */
import type { Ring } from "./model/ring";
import type { Resource } from "./model/state";

export interface Line {
  /** `x`, `y`, `z`; empty for a number. */
  name: string;
  ring: Ring | null;
}

export interface Curves {
  key: string;
  resource: Resource;
  /** The kind of a vector, such as `acc`; empty for a number. */
  vector: string;
}

/** Charts that are shown at first; people choose the others. */
export const CURVES_SHOWN = 6;
const AXES = ["x", "y", "z", "w"];

export function curvesOf(resources: Resource[]): Curves[] {
  return resources.flatMap((resource): Curves[] => {
    if (resource.kind === "number") return [{ key: resource.name, resource, vector: "" }];
    return [...(resource.vectors?.keys() ?? [])].map((vector) => ({ key: `${resource.name} ${vector}`, resource, vector }));
  });
}

/** The samples of the curves now. */
export function linesOf({ resource, vector }: Curves): Line[] {
  if (!vector) return [{ name: "", ring: resource.ring }];
  return (resource.vectors?.get(vector)?.rings ?? []).map((ring, axis) => ({ name: AXES[axis] ?? String(axis), ring }));
}
