// SPDX-License-Identifier: BSD-3-Clause
/** What can be drawn over time: the numbers of a node, and the vectors of its inertial sensor. */
import type { Resource } from "../../model/state";

export interface Curves {
  key: string;
  resource: Resource;
  /** The kind of a vector, such as `acc`; empty for a number. */
  vector: string;
}

/** Charts that are shown at first; people choose the others. */
export const CURVES_SHOWN = 6;

export function curvesOf(resources: Resource[]): Curves[] {
  return resources.flatMap((resource): Curves[] => {
    if (resource.kind === "number") return [{ key: resource.name, resource, vector: "" }];
    return [...(resource.vectors?.keys() ?? [])].map((vector) => ({ key: `${resource.name} ${vector}`, resource, vector }));
  });
}
