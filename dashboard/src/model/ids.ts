// SPDX-License-Identifier: BSD-3-Clause
/** Ids of what people name: rules of alerts, views. */

/** From the title, unlike those that are taken: lower-case letters, digits and hyphens. */
export function newId(title: string, taken: readonly string[], otherwise: string): string {
  const plain = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 56) || otherwise;
  for (let number = 1; ; number += 1) {
    const id = number === 1 ? plain : `${plain}-${number}`;
    if (!taken.includes(id)) return id;
  }
}
