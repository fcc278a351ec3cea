// SPDX-License-Identifier: BSD-3-Clause
/**
 * Text of devices as it is shown. Characters that change the direction of text or that are invisible
 * are shown as marks, so that no device can rearrange the page; the text itself stays as it is.
 */

// C0 and C1 controls except tab and line breaks; characters of direction; invisible spaces; anchors.
export const HIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const [ISOLATE, END] = ["\u2068", "\u2069"];

const code = (character: string): string => character.charCodeAt(0).toString(16).padStart(4, "0");

/** `a[U+202E]b` for text with a right-to-left override. */
export const visible = (text: string): string => text.replace(HIDDEN, (hidden) => `[U+${code(hidden).toUpperCase()}]`);

/** As `visible`, for text within a sentence: Arabic or Hebrew does not rearrange the words around it. */
export function quote(text: string): string {
  const shown = visible(text);
  return RIGHT_TO_LEFT.test(shown) ? `${ISOLATE}${shown}${END}` : shown;
}

/** The same JSON, with these characters as escapes. */
export const visibleJson = (json: string): string => json.replace(HIDDEN, (hidden) => `\\u${code(hidden)}`);

/** `Soil moisture` for `soil_moisture` and `soilMoisture`. What is no plain name stays as it is. */
export function sentence(name: string): string {
  if (!/^[a-z][a-z0-9]*([_-]?[A-Za-z0-9]+)*$/.test(name)) return name;
  const words = name.replace(/([a-z0-9])([A-Z])(?=[a-z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`).replace(/[_-]+/g, " ");
  return words[0].toUpperCase() + words.slice(1);
}

export interface Named {
  uid: string;
  /** The name that the device gave itself. */
  name?: string;
  /** With the name that people gave it. */
  registered?: { label: string } | null;
}

/** The name that people gave a node, or else that of the device, or else its uid. */
export const plainTitle = ({ registered, name, uid }: Named): string => registered?.label || name || uid;

/** The same, for people. */
export const nodeTitle = (node: Named): string => visible(plainTitle(node));
