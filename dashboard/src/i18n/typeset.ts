// SPDX-License-Identifier: BSD-3-Clause
/** Spaces at which no line breaks, and values within a text. Pure. */
import type { Code } from "./ages";

const UNITS = /([\d}]) (s|h|ms|min|msg\/s|Nachr\.\/s|%)(?![\p{L}\d])/gu;

/** A number and its unit stay on one line; in French also a word and the sign after it, in German the ellipsis. */
export function typeset(code: Code, text: string): string {
  const joined = text.replace(UNITS, "$1\u00a0$2");
  if (code === "fr") return joined.replace(/ ([:;?!»])/g, "\u00a0$1").replace(/« /g, "«\u00a0");
  return code === "de" ? joined.replace(/ …/g, "\u00a0…") : joined;
}

export type Values = Readonly<Record<string, string | number>>;

/** `{name}` becomes `values.name`; `{n|node|nodes}` the first word if `values.n` is 1, else the second. */
export const fill = (text: string, values: Values): string =>
  text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (whole, name: string, one?: string, other?: string) =>
    !(name in values) ? whole : one === undefined || other === undefined ? String(values[name]) : String(values[name]) === "1" ? one : other,
  );
