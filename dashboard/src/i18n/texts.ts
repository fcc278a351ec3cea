// SPDX-License-Identifier: BSD-3-Clause
/** The texts of a part that is loaded when it is first shown, in all languages. */
import { language } from ".";
import type { Code } from "./ages";
import { fill, typeset, type Values } from "./typeset";

/** The function that gives the text for a key, with the values replaced. */
export function texts<Key extends string>(words: Record<Code, Record<Key, string>>) {
  const text = (key: Key, values: Values = {}): string => fill(typeset(language.value, words[language.value][key]), values);
  return Object.assign(text, { words });
}
