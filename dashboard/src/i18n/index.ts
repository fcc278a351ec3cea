// SPDX-License-Identifier: BSD-3-Clause
/** Words in the language of the person; the keys are typed by the English ones. */
import { computed, effect, signal } from "@preact/signals";
import { settings } from "../settings";
import { en } from "./en";

export type Key = keyof typeof en;
export type Words = Record<Key, string>;
export type Code = "en" | "fr" | "de";

const loaders: Record<Exclude<Code, "en">, () => Promise<Words>> = {
  fr: async () => (await import("./fr")).fr,
  de: async () => (await import("./de")).de,
};

const words = signal<Words>(en);
export const language = signal<Code>("en");

const wanted = computed<Code>(() => {
  if (settings.language.value) return settings.language.value;
  const codes = navigator.languages.map((tag) => tag.slice(0, 2));
  return (codes.find((code) => code === "en" || code in loaders) as Code | undefined) ?? "en";
});

effect(() => {
  const code = wanted.value;
  void (code === "en" ? Promise.resolve(en) : loaders[code]()).then((found) => {
    if (wanted.peek() !== code) return;
    words.value = found;
    language.value = code;
    document.documentElement.lang = code;
  });
});

/** The words for `key`, with `{name}` replaced by what is given. */
export function t(key: Key, given: Record<string, string | number> = {}): string {
  return words.value[key].replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in given ? String(given[name]) : whole,
  );
}

/** As `t`, for a key of which one does not know whether it is one: else the text itself. */
export function said(key: string, given?: Record<string, string | number>): string {
  return Object.hasOwn(en, key) ? t(key as Key, given) : key;
}

const plurals = computed(() => new Intl.PluralRules(language.value));
/** `key.one` or `key.other`, by the rules of the language. */
export function count(key: "nodes" | "gateways" | "messages" | "hidden", n: number): string {
  const form = plurals.value.select(n) === "one" ? "one" : "other";
  return t(`${key}.${form}`, { n: formatNumber(n) });
}

const numbers = computed(() => new Intl.NumberFormat(language.value));
export const formatNumber = (n: number): string => numbers.value.format(n);

const comma = computed(
  () => numbers.value.formatToParts(1.5).find((part) => part.type === "decimal")?.value ?? ".",
);
/** Digits as a device wrote them, with the decimal sign of the language. */
export const localDigits = (digits: string): string => digits.replace(".", comma.value);

const relative = computed(
  () => new Intl.RelativeTimeFormat(language.value, { style: "narrow", numeric: "auto" }),
);
/** "now", "5s ago", "3min ago". */
export function ago(seconds: number): string {
  if (seconds < 1.5) return relative.value.format(0, "second");
  if (seconds < 60) return relative.value.format(-Math.round(seconds), "second");
  if (seconds < 3600) return relative.value.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return relative.value.format(-Math.floor(seconds / 3600), "hour");
  return relative.value.format(-Math.floor(seconds / 86_400), "day");
}

const times = computed(
  () => new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
);
const dates = computed(
  () => new Intl.DateTimeFormat(language.value, { dateStyle: "short", timeStyle: "medium" }),
);
/** Time of day of a Unix time; with the date if that is another day. */
export function timeOf(ts: number): string {
  const date = new Date(ts * 1000);
  const today = new Date().toDateString() === date.toDateString();
  return (today ? times : dates).value.format(date);
}
