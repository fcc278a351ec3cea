// SPDX-License-Identifier: BSD-3-Clause
/** Alerts that are active, what people do about them, and for administrators their rules. */
import { useSignal } from "@preact/signals";
import { alerts, unread, type Alert } from "../alerts";
import { editAlerts } from "../alertsApi";
import { problemText } from "./problemText";
import { info, mayEdit } from "../info";
import { quote } from "../model/text";
import { nodeLink } from "../route";
import { settings } from "../settings";
import { titleByUid } from "../store";
import { AlertRules } from "./AlertRules";
import { MaintenanceWindows } from "./Maintenance";
import { alertValue } from "./alertText";
import { Drawer } from "./Drawer";
import { overlay } from "./keys";
import { whoText } from "./details/NodeActivity";
import { titleOf } from "./rows";
import { formatNumber, momentOf, timeOf } from "../i18n";
import { a } from "../i18n/alerts";
import "../more.css";
import "../alerts.css";

const HOUR_S = 3600;
const CLEARED_SHOWN = 20;

const close = () => (overlay.value = "");

export function Alerts() {
  const problem = useSignal("");
  const list = alerts.value ?? [];
  const active = list.filter(({ state }) => state !== "cleared");
  const cleared = list.filter(({ state }) => state === "cleared").slice(0, CLEARED_SHOWN);
  const act = async (ids: string[], change: { acknowledge?: true; snooze?: number }) => {
    problem.value = "";
    try {
      await editAlerts(ids, change);
    } catch (error) {
      problem.value = problemText(error);
    }
  };
  return (
    <Drawer title={a("title")} kind="drawer alerts" close={close}>
      {problem.value && (
        <p class="bad" role="alert">
          {problem.value}
        </p>
      )}
      {active.length === 0 && (
        <p class="wait">
          {a("none")} {a("none_more")}
        </p>
      )}
      {mayEdit.value && unread.value.length > 1 && (
        <p class="top">
          <button type="button" class="button" onClick={() => void act(unread.value.map(({ id }) => id), { acknowledge: true })}>
            {a("acknowledge.all")}
          </button>
        </p>
      )}
      <Groups list={active} act={act} />
      <BrowserNotices />
      {info.value?.role === "admin" && <AlertRules />}
      {info.value?.role === "admin" && <MaintenanceWindows />}
      {cleared.length > 0 && (
        <section>
          <h3>{a("earlier")}</h3>
          <Groups list={cleared} act={act} />
        </section>
      )}
    </Drawer>
  );
}

type Act = (ids: string[], change: { acknowledge?: true; snooze?: number }) => Promise<void>;

/** The alerts of a rule are below one heading. */
function Groups({ list, act }: { list: Alert[]; act: Act }) {
  const groups = new Map<string, Alert[]>();
  for (const alert of list) {
    const key = `${alert.severity} ${alert.title}`;
    groups.set(key, [...(groups.get(key) ?? []), alert]);
  }
  return (
    <>
      {[...groups].map(([key, its]) => (
        <div key={key} class="alert-group">
          <h3>
            <span class="badge" data-severity={its[0].severity} data-state={its[0].state}>
              {a(`severity.${its[0].severity}`)}
            </span>{" "}
            {quote(its[0].title)} {its.length > 1 && <span class="count">{formatNumber(its.length)}</span>}
          </h3>
          <ul class="alert-list">
            {its.map((alert) => (
              <Row key={`${alert.id} ${alert.raised}`} alert={alert} act={act} />
            ))}
          </ul>
        </div>
      ))}
    </>
  );
}

function Row({ alert, act }: { alert: Alert; act: Act }) {
  const { id, uid, title, state, resource, value } = alert;
  const where = uid ? titleByUid(uid) : a("gateway", { name: quote(alert.gateway ?? "") });
  const what = { name: `${quote(title)}, ${quote(where)}` };
  return (
    <li data-state={state}>
      <span>
        {uid ? (
          <a {...nodeLink(uid, resource, close)}>{where}</a>
        ) : (
          where
        )}
        <small>
          {[resource && titleOf(resource), value && alertValue(alert)].filter(Boolean).map((part) => `${part} · `)}
          <time>{status(alert)}</time>
        </small>
      </span>
      {mayEdit.value && state !== "cleared" && (
        <span class="buttons">
          {state !== "acknowledged" && (
            <button type="button" class="button small" aria-label={a("acknowledge.of", what)} onClick={() => void act([id], { acknowledge: true })}>
              {a("acknowledge")}
            </button>
          )}
          {state === "active" && (
            <button type="button" class="button small" aria-label={a("snooze.of", what)} onClick={() => void act([id], { snooze: HOUR_S })}>
              {a("snooze")}
            </button>
          )}
        </span>
      )}
    </li>
  );
}

function status({ state, raised = 0, cleared = 0, acknowledged_by = "", snoozed_until = 0, muted }: Alert): string {
  if (state === "cleared") return a("cleared", { from: momentOf(raised), to: momentOf(cleared) });
  const since = momentOf(raised);
  if (state === "acknowledged") return `${since} · ${a("acknowledged", { name: whoText(acknowledged_by) })}`;
  if (state === "snoozed") return `${since} · ${a("snoozed", { time: timeOf(snoozed_until) })}`;
  return muted ? `${since} · ${a("muted")}` : since;
}

/** Notifications of the browser, on this device only. */
function BrowserNotices() {
  const denied = useSignal(false);
  if (typeof Notification === "undefined") return null;
  const change = async (on: boolean) => {
    const granted = !on || (await Notification.requestPermission()) === "granted";
    denied.value = !granted;
    settings.notify.value = on && granted;
  };
  return (
    <p>
      <label class="check">
        <input type="checkbox" checked={settings.notify.value} onChange={(event) => void change(event.currentTarget.checked)} /> {a("browser")}
      </label>
      {denied.value && <small class="bad"> {a("browser.denied")}</small>}
    </p>
  );
}
