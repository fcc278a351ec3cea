// SPDX-License-Identifier: BSD-3-Clause
/** Texts in the language of the user; the English texts define the keys. */
import { computed, effect, signal } from "@preact/signals";
import { settings } from "../settings";
import { formatAge, formatDuration, type Code } from "./ages";
import { en } from "./en";
import { fill, typeset, type Values } from "./typeset";
import type { Key, Words } from "./words";

export type { Key } from "./words";

const loaders: Record<Exclude<Code, "en">, () => Promise<Words>> = {
  fr: async () => (await import("./fr")).fr,
  de: async () => (await import("./de")).de,
};

const typesetAll = (code: Code, found: Words): Words => Object.fromEntries(Object.entries(found).map(([key, text]) => [key, typeset(code, text)])) as Words;

/** English: at first only what is drawn first. */
let english = en as Words;
const words = signal<Words>(english);
/** The texts of all parts are there. `lazy` waits for it. */
export const allTexts: Promise<void> = import("./more").then(({ more }) => {
  const isShown = words.peek() === english;
  english = { ...en, ...more };
  if (isShown) words.value = english;
});
export const language = signal<Code>("en");
/** Of texts of the broker; null until another language than English needs it. */
const translator = signal<((code: Code, text: string) => string) | null>(null);

const wanted = computed<Code>(() => {
  if (settings.language.value) return settings.language.value;
  const codes = navigator.languages.map((tag) => tag.slice(0, 2));
  return (codes.find((code) => code === "en" || code in loaders) as Code | undefined) ?? "en";
});

effect(() => {
  const code = wanted.value;
  void (code === "en" ? allTexts.then(() => english) : loaders[code]()).then((found) => {
    if (wanted.peek() !== code) return;
    words.value = code === "en" ? found : typesetAll(code, found);
    language.value = code;
    document.documentElement.lang = code;
  });
  if (code !== "en") void import("./brokerTexts").then((it) => (translator.value = it.brokerText));
});

/** A text that the broker wrote in English, in the language of the user if it is a known one. */
export const fromBroker = (text: string): string => translator.value?.(language.value, text) ?? text;

/** The text for `key`, with `{name}` replaced by `values.name`. */
export const t = (key: Key, values: Values = {}): string => fill(words.value[key], values);

/** As `t`, for keys built at run time. An unknown key is returned unchanged. */
export function translate(key: string, values?: Values): string {
  return Object.hasOwn(english, key) ? t(key as Key, values) : key;
}

/** Why a node left: in words, or as its gateway wrote it. */
export const reasonText = (reason = ""): string => translate(`reason.${reason}`).replace(/^reason\./, "");

type Counted = { [K in Key]: K extends `${infer Name}.other` ? Name : never }[Key];
/** `key.one` or `key.other`, by the plural rules of the language. */
export function count(key: Counted, n: number): string {
  const form = n === 1 || (n === 0 && language.value === "fr") ? "one" : "other";
  return t(`${key}.${form}`, { n: formatNumber(n) });
}

const numbers = computed(() => new Intl.NumberFormat(language.value));
/** Small numbers without `Intl`, which takes a phone some 0.1 s to set up. */
export const formatNumber = (n: number): string => (Number.isInteger(n) && n >= 0 && n < 1000 ? String(n) : numbers.value.format(n));

/** Digits as a device wrote them, with the decimal separator of the language. */
export const localDigits = (digits: string): string => digits.replace(".", language.value === "en" ? "." : ",");

/** "now", "5s ago", "il y a 16 min". */
export const ago = (seconds: number): string => formatAge(language.value, seconds);
/** "10 min". */
export const duration = (seconds: number): string => formatDuration(language.value, seconds);

const times = computed(
  () => new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
);
const dates = computed(
  () => new Intl.DateTimeFormat(language.value, { dateStyle: "short", timeStyle: "medium" }),
);
/** Time of day of a Unix time; with the date unless it is today. */
export function timeOf(ts: number): string {
  const date = new Date(ts * 1000);
  if (Number.isNaN(date.getTime())) return String(ts);
  const today = new Date().toDateString() === date.toDateString();
  return (today ? times : dates).value.format(date);
}

const TIME = { hour: "2-digit", minute: "2-digit" } as const;
const DAY = { month: "short", day: "numeric" } as const;
const MOMENTS: readonly [younger_s: number, format: Intl.DateTimeFormatOptions][] = [
  [43_200, TIME],
  [172_800, { ...DAY, ...TIME }],
  [15_552_000, DAY],
  [Infinity, { ...DAY, year: "numeric" }],
];
const moments = computed(() => MOMENTS.map(([, format]) => new Intl.DateTimeFormat(language.value, format)));
/** A time as short as it can be: the longer ago, the coarser. */
export function momentOf(ts: number): string {
  const date = new Date(ts * 1000);
  if (Number.isNaN(date.getTime())) return String(ts);
  return moments.value[MOMENTS.findIndex(([younger_s]) => Date.now() / 1000 - ts < younger_s)].format(date);
}

/** "at 14:03:22": for an age that is not updated while it is shown. */
export const timeText = (ts: number): string => t("value.at", { time: timeOf(ts) });
