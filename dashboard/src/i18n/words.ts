// SPDX-License-Identifier: BSD-3-Clause
/** The keys of the texts that all parts share; the English texts define them. */
import type { en } from "./en";
import type { more } from "./more";

export type Key = keyof typeof en | keyof typeof more;
export type Words = Record<Key, string>;
