// SPDX-License-Identifier: BSD-3-Clause
/** Access to the broker: who is signed in, and what administrators manage (`/api/access`). */
import { apiUrl } from "./config";
import { request } from "./registryApi";

export type Role = "viewer" | "operator" | "admin";

/** A user, a token, a session, a gateway or an open invitation. */
export interface AccessEntry {
  kind: "user" | "token" | "session" | "gateway" | "invitation";
  id: string;
  name?: string;
  role?: Role;
  scope_tags?: string[];
  scope_gateways?: string[];
  /** Unix time in seconds; absent: it does not expire. */
  expires?: number;
  /** It is that of this page. */
  own?: boolean;
}

export interface InvitationRequest {
  role: Role;
  tags: string[];
  gateways: string[];
  expires_s: number;
}

/** All functions but `signOut` throw `ApiProblem`. */
export const readAccess = async (): Promise<AccessEntry[]> =>
  ((await request("GET", `${apiUrl()}access`)) as { entries: AccessEntry[] }).entries;

/** The link, which works once. */
export async function invite(wanted: InvitationRequest): Promise<string> {
  const { path } = (await request("POST", `${apiUrl()}access/invitations`, wanted)) as { path: string };
  return new URL(path, location.origin).href;
}

/** Rows of `1` and `0`. */
export const qrRows = async (text: string): Promise<string[]> =>
  ((await request("POST", `${apiUrl()}access/qr`, { text })) as { rows: string[] }).rows;

export const removeAccess = async ({ kind, id }: AccessEntry): Promise<void> => {
  await request("DELETE", `${apiUrl()}access/${kind}/${encodeURIComponent(id)}`);
};

/** End the session, or all sessions of the user, and open the sign-in page. */
export async function signOut(everywhere: boolean): Promise<void> {
  await fetch(`logout${everywhere ? "?everywhere=1" : ""}`, { method: "POST", redirect: "manual" }).catch(() => undefined);
  location.href = "login";
}
