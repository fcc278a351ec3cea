// SPDX-License-Identifier: BSD-3-Clause
/**
 * The search language: `temp>25 board:samr21 state:stale -kitchen has:led`.
 *
 * Terms are joined by "and". `word` is searched in name, uid and facts; `key:text` in one fact, or in
 * `state`, `gateway`, `protocol`, `has`; `resource>number` compares, where a prefix of the name of the
 * resource is enough; `-` before a term negates it; quotes keep spaces.
 */
import { FACTS } from "./readings";
import { nodeState, type Node, type State } from "./state";

export type Term = (node: Node, state: State, now: number) => boolean;

export interface Query {
  terms: Term[];
  /** It depends on values or on time: evaluate it again from time to time. */
  moving: boolean;
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
  const query: Query = { terms: [], moving: false, includesOffline: false };
  for (const [, minus, key, operator, argument, word] of text.matchAll(TERM)) {
    const term = word !== undefined ? byWord(bare(word)) : byKey(query, key, operator, bare(argument));
    if (term) query.terms.push(minus ? (...its) => !term(...its) : term);
  }
  return query;
}

export function matches(query: Query, node: Node, state: State, now: number): boolean {
  return query.terms.every((term) => term(node, state, now));
}

const bare = (text: string): string => text.replaceAll('"', "").toLowerCase();

function byWord(word: string): Term | null {
  if (!word) return null;
  return (node) => {
    if (node.uid.toLowerCase().includes(word) || node.gateway.toLowerCase().includes(word)) return true;
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
      if (argument === "left" || argument === "lost") query.includesOffline = true;
      return (node, state, now) => nodeState(state, node, now) === argument;
    case "gateway":
      return (node) => node.gateway.toLowerCase() === argument;
    case "has":
      return (node) => [...node.resources.keys()].some((its) => its.toLowerCase().startsWith(argument));
    case "uid":
      return (node) => node.uid.toLowerCase().includes(argument);
    default:
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
  const term = value && `${key}:${/\s/.test(value) ? `"${value}"` : value}`;
  return [...others, term].filter(Boolean).join(" ");
}

/** The value of the term `key` in the query text. */
export function termOf(text: string, key: string): string {
  for (const [, minus, name, operator, argument] of text.matchAll(TERM))
    if (!minus && name === key && operator === ":") return argument.replaceAll('"', "");
  return "";
}
