// SPDX-License-Identifier: BSD-3-Clause
/** Colours in the forms of devices. */

const HEX = /^#[0-9a-f]{6}$/i;

/** `#rrggbb` of a colour in a form that devices use; black for any other text. */
export function hexOf(text: string): string {
  if (HEX.test(text)) return text.toLowerCase();
  const parts = /^\d{1,3},\d{1,3},\d{1,3}$/.test(text) ? text.split(",").map(Number) : partsOf(text);
  return parts.every((part) => part >= 0 && part <= 255) ? `#${parts.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}` : "#000000";
}

function partsOf(text: string): number[] {
  try {
    const it = JSON.parse(text) as Record<string, unknown> | null;
    return [it?.r, it?.g, it?.b].map((part) => (typeof part === "number" ? part : NaN));
  } catch {
    return [NaN];
  }
}
