// SPDX-License-Identifier: BSD-3-Clause
/** Facts about the broker, and the rights of this page: `/api/info`. */
import { computed, effect, signal } from "@preact/signals";
import { apiUrl, isKiosk, mayHaveApi } from "./config";
import { isLive, link } from "./store";

export interface Info {
  /** It has a history to query. */
  history?: boolean;
  /** Why nothing is recorded now; empty if it is. */
  history_problem?: string;
  /** This page may send commands and edit nodes. */
  may_command?: boolean;
  /** This page may give devices credentials. */
  may_add_devices?: boolean;
  /** `local`: nobody signs in here. */
  access?: "local" | "session" | "token" | "anonymous";
  role?: "viewer" | "operator" | "admin";
  /** Name of the user; empty if there is none. */
  user?: string;
  /** For people; empty: all nodes. */
  scope_tags?: string[];
  scope_gateways?: string[];
}

let pending: Promise<Info | null> | null = null;
export const info = signal<Info | null>(null);

/** Null if there is no API: a legacy broker has none, and requests would only fill the console. */
export function brokerInfo(): Promise<Info | null> {
  if (link.peek().legacy || !mayHaveApi()) return Promise.resolve(null);
  pending ??= fetch(`${apiUrl()}info`)
    .then(async (answer) => (answer.ok ? ((await answer.json()) as Info) : null))
    .catch(() => null);
  return pending;
}

/** Whether to show controls that edit nodes. */
export const mayEdit = computed(() => !isKiosk && isLive.value && info.value?.may_command === true);

/** Whether to offer "Add a device". */
export const mayAddDevices = computed(() => isLive.value && info.value?.may_add_devices === true);

/** Whether to offer what only administrators may do. */
export const isAdmin = computed(() => isLive.value && info.value?.role === "admin");

/** Whether to show controls that command nodes. A legacy broker has no `/api/info`. */
export const mayCommand = computed(() => !isKiosk && info.value?.may_command !== false);

/** Whether people sign in at this broker. */
export const signsIn = computed(() => info.value?.access !== undefined && info.value.access !== "local");

const REFRESH_MS = 60_000;

effect(() => {
  if (!isLive.value) {
    pending = null; // another broker may answer next
    return;
  }
  const read = (): void => void brokerInfo().then((found) => (info.value = found));
  read();
  const timer = setInterval(() => {
    pending = null; // the disk of the history may have become full
    read();
  }, REFRESH_MS);
  return () => clearInterval(timer);
});
