// SPDX-License-Identifier: BSD-3-Clause
/** What people do about alerts, and their rules (`/api/alerts`, `/api/alert-rules`). */
import { apiUrl } from "./config";
import { request } from "./registryApi";
import type { Severity } from "./alerts";

export const CONDITIONS = ["above", "below", "change", "no data", "offline", "gateway lost", "update failed", "command failed"] as const;
export type Condition = (typeof CONDITIONS)[number];
export const SEVERITIES: readonly Severity[] = ["info", "warning", "critical"];

/** A rule as its author writes it: durations may be texts such as `5m`. */
export interface Rule {
  title: string;
  when: Condition;
  resource?: string;
  limit?: number;
  hysteresis?: number;
  within?: number | string;
  for?: number | string;
  severity?: Severity;
  tags?: string[];
  rooms?: string[];
  uids?: string[];
  gateways?: string[];
  /** The id of a saved view. */
  view?: string;
  channels?: string[];
  enabled?: boolean;
}

export interface StoredRule {
  id: string;
  editable: boolean;
  rule: Rule;
}

export interface Channel {
  name: string;
  problem: string;
}

/** All functions below throw `ApiProblem`. */
export const editAlerts = async (ids: readonly string[], change: { acknowledge?: true; snooze?: number }): Promise<void> => {
  await request("PATCH", `${apiUrl()}alerts`, { ids, ...change });
};

const ruleUrl = (id: string): string => `${apiUrl()}alert-rules/${encodeURIComponent(id)}`;

export const readRules = async (): Promise<StoredRule[]> => ((await request("GET", `${apiUrl()}alert-rules`)) as { rules: StoredRule[] }).rules;

/** A limit of a rule that applies to a node. */
export interface NodeLimit {
  resource: string;
  when: "above" | "below";
  limit: number;
  severity: Severity;
  title: string;
}

/** None of a broker whose answer has none. */
export const readLimits = async (uid: string): Promise<NodeLimit[]> =>
  ((await request("GET", `${apiUrl()}nodes/${encodeURIComponent(uid)}/limits`)) as { limits?: NodeLimit[] } | null)?.limits ?? [];

export const putRule = async (id: string, rule: Rule): Promise<void> => {
  await request("PUT", ruleUrl(id), rule);
};

export const removeRule = async (id: string): Promise<void> => {
  await request("DELETE", ruleUrl(id));
};

export const readChannels = async (): Promise<Channel[]> => ((await request("GET", `${apiUrl()}alert-channels`)) as { channels: Channel[] }).channels;

export const testChannel = async (name: string): Promise<void> => {
  await request("POST", `${apiUrl()}alert-channels/${encodeURIComponent(name)}/test`);
};

export const REPEATS = ["once", "daily", "weekly"] as const;

/** Times are Unix times in seconds. */
export interface Maintenance {
  title: string;
  start: number;
  end: number;
  repeat?: (typeof REPEATS)[number];
  uids?: string[];
  tags?: string[];
  rooms?: string[];
  gateways?: string[];
}

export interface MaintenanceWindow {
  id: string;
  maintenance: Maintenance;
}

export const readMaintenance = async (): Promise<MaintenanceWindow[]> => ((await request("GET", `${apiUrl()}maintenance`)) as { windows: MaintenanceWindow[] }).windows;

export const addMaintenance = async (it: Maintenance): Promise<void> => {
  await request("POST", `${apiUrl()}maintenance`, it);
};

export const removeMaintenance = async (id: string): Promise<void> => {
  await request("DELETE", `${apiUrl()}maintenance/${encodeURIComponent(id)}`);
};
