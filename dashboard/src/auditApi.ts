// SPDX-License-Identifier: BSD-3-Clause
/** The audit log of the broker (`/api/audit`), and what to look for in it. */
import { signal } from "@preact/signals";
import { apiUrl } from "./config";
import { request } from "./registryApi";
import { navigate } from "./route";

export interface AuditEntry {
  /** Unix time in seconds. */
  ts: number;
  action: string;
  /** `user:ada`, `local` and so on. */
  who: string;
  from?: string;
  result: string;
  uids?: string[];
  resource?: string;
  detail?: string;
  /** Refused attempts before this one that have no entry of their own. */
  suppressed?: number;
}

/** How something ended, in the order of the form. */
export const OUTCOMES = ["good", "refused", "failed"] as const;
export type Outcome = (typeof OUTCOMES)[number];
const RESULTS: Record<Outcome, readonly string[]> = {
  good: ["ok", "confirmed", "sent"],
  refused: ["refused", "forbidden"],
  failed: ["failed", "timeout", "unreachable", "unknown"],
};
export const outcomeOf = (result: string): Outcome => OUTCOMES.find((it) => RESULTS[it].includes(result)) ?? "failed";

/** Empty members: no condition. */
export interface AuditFilter {
  who: string;
  uid: string;
  action: string;
  outcome: Outcome | "";
  /** Of this many days until now; 0: all. */
  days: number;
}

export const EVERYTHING: AuditFilter = { who: "", uid: "", action: "", outcome: "", days: 0 };
/** What the screen shows. */
export const auditFilter = signal<AuditFilter>(EVERYTHING);

/** Open the audit log of one node. */
export function showAuditOf(uid: string): void {
  auditFilter.value = { ...EVERYTHING, uid };
  navigate({ screen: "audit", node: "" });
}

const PAGE = 100;

/** A page, the newest first, and the cursor of the next one. Throws `ApiProblem`. */
export async function readAudit({ who, uid, action, outcome, days }: AuditFilter, cursor: string): Promise<{ entries: AuditEntry[]; next: string | null }> {
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const [name, value] of Object.entries({ who, uid, action, cursor })) if (value) query.set(name, value);
  if (outcome) for (const result of RESULTS[outcome]) query.append("result", result);
  if (days) query.set("from", `-${days}d`);
  return (await request("GET", `${apiUrl()}audit?${query}`)) as { entries: AuditEntry[]; next: string | null };
}
