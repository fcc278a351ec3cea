// SPDX-License-Identifier: BSD-3-Clause
/** Alerts of the broker (`/api/alerts`), read again when it announces a change. */
import { computed, effect, signal } from "@preact/signals";
import { apiUrl, config, mayHaveApi } from "./config";
import { alertsVersion, isLive, link } from "./store";
import { settings } from "./settings";

export type Severity = "info" | "warning" | "critical";

export interface Alert {
  id: string;
  rule: string;
  title: string;
  severity: Severity;
  uid?: string;
  /** Label of the node. */
  name?: string;
  resource?: string;
  gateway?: string;
  value?: string;
  /** Unix times in seconds. */
  raised?: number;
  cleared?: number;
  acknowledged_by?: string;
  snoozed_until?: number;
  muted?: boolean;
  state: "active" | "acknowledged" | "snoozed" | "cleared";
}

/** Null until they were read, and where the broker has none. */
export const alerts = signal<Alert[] | null>(null);
/** Those that nobody takes care of. */
export const unread = computed(() => (alerts.value ?? []).filter(({ state }) => state === "active"));
export const worst = computed<Severity | "">(() =>
  (["critical", "warning", "info"] as const).find((severity) => unread.value.some((alert) => alert.severity === severity)) ?? "",
);

/** Whether the broker has alerts; one of an earlier version has no such path. */
let isThere = true;

async function read(): Promise<void> {
  const answer = await fetch(`${apiUrl()}alerts`).catch(() => null);
  if (!answer) return;
  isThere = answer.status !== 404;
  if (!answer.ok) return;
  const before = alerts.peek();
  const found = ((await answer.json()) as { alerts: Alert[] }).alerts;
  alerts.value = found;
  if (before) notify(found.filter(({ id, state }) => state === "active" && !before.some((it) => it.id === id && it.state !== "cleared")));
}

effect(() => {
  void alertsVersion.value;
  if (isLive.value && !link.value.legacy && mayHaveApi() && isThere) void read();
});

effect(() => {
  const number = unread.value.length;
  document.title = number ? `(${number}) ${config.title}` : config.title;
});

/** Notifications of the browser, if the user has turned them on here. */
function notify(raised: Alert[]): void {
  if (!settings.notify.peek() || !raised.length || typeof Notification === "undefined" || Notification.permission !== "granted") return;
  const [first] = raised;
  const body = raised.length > 1 ? raised.map(({ title }) => title).slice(0, 5).join("\n") : [first.name || first.uid || first.gateway, first.value].filter(Boolean).join(": ");
  new Notification(raised.length > 1 ? `${config.title}: ${raised.length}` : first.title, { body, tag: "pyaiot-alert" });
}
