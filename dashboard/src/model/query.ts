// SPDX-License-Identifier: BSD-3-Clause
/**
 * The search language: `temp>25 board:samr21 state:stale -kitchen has:led`.
 *
 * Terms are joined by "and". `word` is searched in label, name, room, tags, uid and facts; `key:text`
 * in one fact, or in `state`, `gateway`, `protocol`, `has`, `tag`, `room`, `label`; `resource>number` compares, where a prefix of the name of the
 * resource is enough; `-` before a term negates it; quotes keep spaces.
 */
import { firmware } from "./firmware";
import { FACTS } from "./readings";
import { nodeState, type Node, type State } from "./state";

export type Term = (node: Node, state: State, now: number) => boolean;

export interface Query {
  terms: Term[];
  /** It depends on values or on time: evaluate it again from time to time. */
  moving: boolean;
  /** Prefixes of the names of the resources whose readings, of all nodes, it depends on. */
  reads: string[];
  /** It includes offline nodes, which are otherwise hidden after a minute. */
  includesOffline: boolean;
}

const TERM = /(-?)(?:([^\s:<>=!"]+)(>=|<=|!=|[:<>=])("[^"]*"|\S*)|("[^"]*"|\S+))/g;
const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

export function parseQuery(text: string): Query {
  const query: Query = { terms: [], moving: false, reads: [], includesOffline: false };
  for (const [, minus, key, operator, argument, word] of text.matchAll(TERM)) {
    const term = word !== undefined ? byWord(bare(word)) : byKey(query, key, operator, bare(argument));
    if (term) query.terms.push(minus ? (...its) => !term(...its) : term);
  }
  return query;
}

export function matches(query: Query, node: Node, state: State, now: number): boolean {
  return query.terms.every((term) => term(node, state, now));
}

const contains = (text: string, part: string): boolean => text.toLowerCase().includes(part);
const bare = (text: string): string => text.replaceAll('"', "").toLowerCase();

function byWord(word: string): Term | null {
  if (!word) return null;
  return (node) => {
    if (node.uid.toLowerCase().includes(word) || node.gateway.toLowerCase().includes(word)) return true;
    const { registered } = node;
    if (registered && (contains(registered.label, word) || contains(registered.room, word) || registered.tags.some((tag) => contains(tag, word)))) return true;
    for (const name of FACTS)
      if (node.resources.get(name)?.text.toLowerCase().includes(word)) return true;
    return node.resources.has(word);
  };
}

function byKey(query: Query, key: string, operator: string, argument: string): Term | null {
  if (!argument) return null; // incomplete
  const name = key.toLowerCase();
  if (operator !== ":") {
    const wanted = Number(argument);
    if (Number.isNaN(wanted)) return null;
    query.moving = true;
    query.reads.push(name);
    const compare = COMPARE[operator];
    return (node) => {
      for (const resource of node.resources.values()) {
        if (!resource.name.toLowerCase().startsWith(name)) continue;
        const value = resource.kind === "number" ? resource.value : Number(resource.text || NaN);
        if (compare(value, wanted)) return true;
      }
      return false;
    };
  }
  switch (name) {
    case "state":
      query.moving = true;
      if (argument === "online") return (node) => !node.left && node.registered?.state !== "waiting";
      if (argument === "left" || argument === "lost" || argument === "offline") query.includesOffline = true;
      return (node, state, now) => nodeState(state, node, now) === argument || (argument === "offline" && node.left !== null);
    case "update":
      query.moving = true;
      return (node) => argument === "failed" && !!firmware(node)?.failed;
    case "gateway":
      return (node) => node.gateway.toLowerCase() === argument;
    case "has":
      query.reads.push(argument);
      return (node) => [...node.resources.keys()].some((its) => its.toLowerCase().startsWith(argument));
    case "tag":
      return ({ registered }) => registered?.tags.some((tag) => bare(tag) === argument) ?? false;
    case "room":
      return ({ registered }) => bare(registered?.room ?? "") === argument;
    case "label":
      return ({ registered }) => contains(registered?.label ?? "", argument);
    case "uid":
      return (node) => node.uid.toLowerCase().includes(argument);
    default:
      if (![...FACTS].some((fact) => fact.startsWith(name))) query.reads.push(name);
      return (node) => {
        for (const resource of node.resources.values())
          if (resource.name.toLowerCase().startsWith(name) && searchText(resource).includes(argument)) return true;
        return false;
      };
  }
}

const searchText = (resource: { kind: string; text: string; digits: string; unit: string }): string =>
  (resource.kind === "number" ? resource.digits + resource.unit : resource.text).toLowerCase();

/** The query text with `key:value` as its only term for `key`. */
export function withTerm(text: string, key: string, value: string): string {
  const others = [...text.matchAll(TERM)]
    .filter(([, , name, operator]) => !(name === key && operator === ":"))
    .map(([whole]) => whole.trim());
  return [...others, value && termFor(key, value)].filter(Boolean).join(" ");
}

/** The query text with one more term `key:value`, or without it. */
export function toggleTerm(text: string, key: string, value: string): string {
  const wanted = bare(value);
  let found = false;
  const others = [...text.matchAll(TERM)].flatMap(([whole, minus, name, operator, argument]) => {
    const is = !minus && name === key && operator === ":" && bare(argument) === wanted;
    found ||= is;
    return is ? [] : [whole.trim()];
  });
  return found ? others.join(" ") : [...others, termFor(key, value)].join(" ");
}

/** Whether the query text has the term `key:value`. */
export function hasTerm(text: string, key: string, value: string): boolean {
  for (const [, minus, name, operator, argument] of text.matchAll(TERM))
    if (!minus && name === key && operator === ":" && bare(argument) === bare(value)) return true;
  return false;
}

const termFor = (key: string, value: string): string => `${key}:${/\s/.test(value) ? `"${value.replaceAll('"', "")}"` : value}`;

/** The value of the term `key` in the query text. */
export function termOf(text: string, key: string): string {
  for (const [, minus, name, operator, argument] of text.matchAll(TERM))
    if (!minus && name === key && operator === ":") return argument.replaceAll('"', "");
  return "";
}
