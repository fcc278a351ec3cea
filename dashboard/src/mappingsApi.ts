// SPDX-License-Identifier: BSD-3-Clause
/** Mappings of plain MQTT topics (`/api/mappings`), and how a form makes one. */
import { apiUrl } from "./config";
import { request } from "./registryApi";

export const PAYLOADS = ["text", "json", "csv"] as const;
export type PayloadForm = (typeof PAYLOADS)[number];

export interface TopicMapping {
  topic: string;
  payload?: PayloadForm;
  fields?: Record<string, string>;
  columns?: string[];
  units?: Record<string, string>;
  node?: string;
  command?: string;
}

export interface SavedMapping {
  id: string;
  editable: boolean;
  mapping: TopicMapping;
}

export interface TriedValue {
  resource: string;
  data: unknown;
  value?: number;
  unit?: string;
  type: { kind?: string };
  command_topic?: string;
}

/** What a mapping makes of a message; `problem`: why it makes nothing. */
export interface Tried {
  uid?: string;
  name?: string;
  values?: TriedValue[];
  problem?: string;
}

/** What a level of a topic means: the text itself, a placeholder, or nothing. */
export const ROLES = ["fixed", "node", "resource", "any"] as const;
export type Role = (typeof ROLES)[number];

const mappingUrl = (id: string): string => `${apiUrl()}mappings/${encodeURIComponent(id)}`;

/** All functions throw `ApiProblem`. */
export const readMappings = async (): Promise<SavedMapping[]> => ((await request("GET", `${apiUrl()}mappings`)) as { mappings: SavedMapping[] }).mappings;

export const putMapping = async (id: string, mapping: TopicMapping): Promise<void> => {
  await request("PUT", mappingUrl(id), mapping);
};

export const removeMapping = async (id: string): Promise<void> => {
  await request("DELETE", mappingUrl(id));
};

export const tryMapping = async (mapping: TopicMapping, topic: string, payload: string): Promise<Tried> =>
  (await request("POST", `${apiUrl()}mapping-trials`, { mapping, topic, payload })) as Tried;

/** The most likely meaning of the levels of a topic: the last is the resource, the one before the node. */
export function guessRoles(topic: string, payload: PayloadForm): Role[] {
  const roles = topic.split("/").map((): Role => "fixed");
  const last = roles.length - 1;
  if (payload === "text" && last > 0) {
    roles[last] = "resource";
    if (last > 1) roles[last - 1] = "node";
  } else if (last > 0) roles[last] = "node";
  return roles;
}

/** `sensors/attic/temp` with the roles fixed, node, resource: `sensors/{node}/{resource}`. */
export const formOf = (topic: string, roles: readonly Role[]): string =>
  topic
    .split("/")
    .map((level, index) => ({ fixed: level, node: "{node}", resource: "{resource}", any: "+" })[roles[index] ?? "fixed"])
    .join("/");

/** The roles of the levels of a form, and a topic of that form. */
export function rolesOf(form: string): { roles: Role[]; topic: string } {
  const roles = form.split("/").map((level): Role => ({ "{node}": "node", "{resource}": "resource", "+": "any" })[level] as Role | undefined ?? "fixed");
  const topic = form.replaceAll("{node}", "my-node").replaceAll("{resource}", "value").replaceAll("+", "any");
  return { roles, topic };
}

/** `json` for an object or a list, else what it was. */
export const payloadOf = (text: string, before: PayloadForm): PayloadForm => (/^\s*[{[]/.test(text) ? "json" : before === "json" ? "text" : before);

/** The id of a new mapping: from its topics, unlike those that exist. */
export function newMappingId(form: string, taken: readonly string[]): string {
  const plain = form.toLowerCase().replace(/\{\w+\}|\+/g, "").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 56) || "topics";
  for (let number = 1; ; number += 1) {
    const id = number === 1 ? plain : `${plain}-${number}`;
    if (!taken.includes(id)) return id;
  }
}
