// SPDX-License-Identifier: BSD-3-Clause
/** Edits of nodes through the HTTP API of the broker. */
import { apiUrl } from "./config";

/** A request that failed. `kind` is the end of the type of the problem document, or `unreachable`. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    detail: string,
    /** What this kind of problem is, in English. */
    readonly title = "",
  ) {
    super(detail);
  }
}

/** Changes of what people added: absent members stay, null clears. */
export interface Edit {
  label?: string | null;
  room?: string | null;
  latitude?: number | null;
  longitude?: number | null;
  tags?: string[] | null;
  notes?: string | null;
  interval_s?: number | null;
  offline_after_s?: number | null;
  /** By resource. */
  types?: Record<string, object | null>;
  admission?: "accepted" | "banned";
}

/** What people added to a node, as the API has it. */
export interface Added {
  revision: number;
  label: string;
  room: string;
  latitude: number | null;
  longitude: number | null;
  tags: string[];
  notes: string;
  interval_s: number;
  offline_after_s: number;
}

/** Uids of one request: the API accepts 64, and the URL stays short enough for every server. */
const UIDS_MAX = 64;
const URL_LENGTH_MAX = 6000;
const RESTORES_AT_ONCE = 6;

const nodeUrl = (uid: string): string => `${apiUrl()}nodes/${encodeURIComponent(uid)}`;

/** All functions throw `ApiProblem`. */
export const readNode = async (uid: string): Promise<Added> => (await request("GET", nodeUrl(uid))) as Added;

/** `revision`: that of the node when it was read. If it was edited since: a problem with status 412. */
export const editNode = async (uid: string, edit: Edit, revision?: number): Promise<Added> =>
  (await request("PATCH", nodeUrl(uid), edit, revision)) as Added;

export const editNodes = (uids: readonly string[], edit: Edit): Promise<string[]> => byUids("PATCH", uids, edit);

/** Returns the forgotten ones: a node that is online again stays. */
export const forgetNodes = (uids: readonly string[]): Promise<string[]> => byUids("DELETE", uids);

/** Undo `forgetNodes`. Returns the number of nodes that could not be restored. */
export async function restoreNodes(uids: readonly string[]): Promise<number> {
  const queue = [...uids];
  let failed = 0;
  const work = async () => {
    for (let uid = queue.pop(); uid !== undefined; uid = queue.pop())
      await request("POST", `${nodeUrl(uid)}/restore`).catch(() => (failed += 1));
  };
  await Promise.all(Array.from({ length: RESTORES_AT_ONCE }, work));
  return failed;
}

/** A protocol in which a device can be added. */
export interface DeviceProtocol {
  name: string;
  title: string;
  has_credentials: boolean;
}

/** A device that has just got a credential. */
export interface AddedDevice {
  uid: string;
  summary: string;
  secret: string;
  snippets: { board: string; text: string }[];
  is_local_only: boolean;
}

export const devices = async (): Promise<{ is_here: boolean; protocols: DeviceProtocol[] }> =>
  (await request("GET", `${apiUrl()}devices`)) as { is_here: boolean; protocols: DeviceProtocol[] };

/** `language`: that of the summary. */
export const addDevice = async (uid: string, protocol: string, language: string): Promise<AddedDevice> =>
  (await request("POST", `${apiUrl()}devices`, { uid, protocol, language })) as AddedDevice;

async function byUids(method: string, uids: readonly string[], edit?: Edit): Promise<string[]> {
  const done: string[] = [];
  // Also those that wait or are banned.
  const states = "state=online&state=offline&state=waiting&state=banned";
  let search = states;
  let count = 0;
  const send = async () => {
    const answer = (await request(method, `${apiUrl()}nodes?${search}`, edit)) as { uids: string[] };
    done.push(...answer.uids);
    search = states;
    count = 0;
  };
  for (const uid of uids) {
    search += `&uid=${encodeURIComponent(uid)}`;
    count += 1;
    if (count === UIDS_MAX || search.length > URL_LENGTH_MAX) await send();
  }
  if (count) await send();
  return done;
}

/** The JSON of an answer; null if it has none. Throws `ApiProblem`. */
export async function request(method: string, url: string, body?: object, revision?: number): Promise<unknown> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body) headers["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (revision !== undefined) headers["If-Match"] = `"${revision}"`;
  let answer: Response;
  try {
    answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiProblem(0, "unreachable", "");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw await problemOf(answer);
}

/** The problem document of an answer, or else its status. */
export async function problemOf(answer: Response): Promise<ApiProblem> {
  const problem = (await answer.json().catch(() => ({}))) as Record<"type" | "title" | "detail", unknown>;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const kind = text(problem.type).replace(/^.*[:/#](problem-)?/, "");
  return new ApiProblem(answer.status, kind, text(problem.detail) || text(problem.title) || `${answer.status} ${answer.statusText}`, text(problem.title));
}
