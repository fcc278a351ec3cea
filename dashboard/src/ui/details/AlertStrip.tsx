// SPDX-License-Identifier: BSD-3-Clause
/** The alerts of a node over time: a strip above the charts, and their list. */
import { useComputed, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Alert } from "../../alerts";
import { edgesOf, spansOf, type AlertSpan } from "../../model/alertSpans";
import { quote } from "../../model/text";
import { viewAt } from "../../model/timeView";
import { formatNumber, timeOf } from "../../i18n";
import { d } from "../../i18n/details";
import { alertValue } from "../alertText";
import { titleOf } from "../rows";
import { brokerTime, onKey, type Shared } from "./context";
import { useGestures } from "./gestures";

/** Alerts in the list, the latest first. */
const LISTED = 4;
const LANE_PX = 12;
/** The width of the shortest span, as in the style sheet. */
const WIDTH_MIN_PX = 6;

/** `Too warm · Temperature · 31 °C`. */
const textOf = (alert: Alert): string => [quote(alert.title), alert.resource && titleOf(alert.resource), alertValue(alert)].filter(Boolean).join(" · ");

/** `…: 14:03:22 – 14:20:11`, or since when it has been active. */
const lineOf = (alert: Alert): string => {
  const [what, from] = [textOf(alert), timeOf(alert.raised ?? 0)];
  return alert.cleared ? d("alerts.span", { what, from, to: timeOf(alert.cleared) }) : d("alerts.since", { what, from });
};

export function AlertStrip({ alerts, shared }: { alerts: Alert[]; shared: Shared }) {
  const bar = useRef<HTMLDivElement>(null);
  const { view, cursor, pulse } = shared;
  const given = useSignal(alerts);
  given.value = alerts;
  const drawn = useComputed(() => {
    void pulse.value;
    const { from, to } = viewAt(view.value, brokerTime());
    return { from, to, spans: spansOf(given.value, from, to) };
  });
  const { from, to, spans } = drawn.value;
  const lanes = Math.max(1, ...spans.map(({ lane }) => lane + 1));
  const percent = (ts: number) => ((ts - from) / (to - from)) * 100;
  const at = useComputed(() => {
    const time = cursor.value;
    if (time === null) return "";
    return [...drawn.value.spans.filter((its) => its.from <= time && time <= its.to).map((its) => textOf(its.alert)), timeOf(time)].join(" · ");
  });
  const gestures = useGestures(bar, shared, from, to);
  const cursorAt = cursor.value !== null && cursor.value >= from && cursor.value <= to ? percent(cursor.value) : null;
  const latest = [...spans].reverse();
  return (
    <figure class="chart strip alert-strip">
      <figcaption>
        <span>{d("alerts")}</span>
        <span class="soft reading">{at}</span>
      </figcaption>
      <div
        ref={bar}
        class="strip-bar"
        role="slider"
        tabIndex={0}
        style={{ height: `${Math.max(2, lanes) * LANE_PX}px` }}
        aria-label={d("alerts.of")}
        aria-valuenow={Math.round(cursor.value ?? brokerTime())}
        aria-valuetext={at.value || (latest.length ? lineOf(latest[0].alert) : d("alerts.none"))}
        {...gestures}
        onKeyDown={(event) => {
          if (onKey(shared, event, edgesOf(spans))) event.preventDefault();
        }}
      >
        {spans.map(({ alert, from: start, to: end, lane }: AlertSpan) => (
          <span
            key={`${alert.id} ${alert.raised}`}
            data-severity={alert.severity}
            data-state={alert.cleared ? "cleared" : "active"}
            style={{ left: `min(${percent(start)}%, 100% - ${WIDTH_MIN_PX}px)`, width: `${percent(end) - percent(start)}%`, top: `${lane * LANE_PX}px` }}
          />
        ))}
        {cursorAt !== null && <i class="strip-cursor" style={{ left: `${cursorAt}%` }} />}
      </div>
      <ul class="limits alert-lines">
        {latest.length === 0 && <li>{d("alerts.none")}</li>}
        {latest.slice(0, LISTED).map(({ alert }) => (
          <li key={`${alert.id} ${alert.raised}`} data-severity={alert.severity}>
            {lineOf(alert)}
          </li>
        ))}
        {latest.length > LISTED && <li class="rest">{d("alerts.more", { n: formatNumber(latest.length - LISTED) })}</li>}
      </ul>
    </figure>
  );
}
