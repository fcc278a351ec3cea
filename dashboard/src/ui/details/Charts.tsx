// SPDX-License-Identifier: BSD-3-Clause
/** The charts of a node: linked, over one span, in one resolution. */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { alerts, type Alert } from "../../alerts";
import { problemText } from "../problemText";
import { alertsOf, concerning } from "../../model/alertSpans";
import { curvesOf, CURVES_SHOWN, type Curves } from "./curves";
import { toCsv } from "../../model/curves";
import { limitsOf, type Limit } from "../../model/limits";
import { FACTS } from "../../model/readings";
import type { Node, Resource } from "../../model/state";
import { nodeTitle } from "../../model/text";
import { layout } from "../../layout";
import { between, lastSeconds, rangeSeconds, SPANS, viewAt, type View } from "../../model/timeView";
import { jumps } from "../../past";
import { mayHaveApi } from "../../config";
import { readLimits, type NodeLimit } from "../../alertsApi";
import { clock, link, onSample, second, setVisible } from "../../store";
import { duration, formatNumber, t, timeOf } from "../../i18n";
import { d } from "../../i18n/details";
import { nameOf, vectorName } from "../rows";
import { AlertStrip } from "./AlertStrip";
import { Compare, comparedName } from "./Compare";
import { brokerTime, type Drawing, type Shared } from "./context";
import { load, nothing, SAMPLES_READ, type Loaded } from "./load";
import { NumberChart, type Line } from "./NumberChart";
import { pictureOf, save } from "./paint";
import { RangeBar } from "./RangeBar";
import { StateStrip } from "./StateStrip";

/** The history is read again after this time, or after a step: the samples here go back only so far. */
const READ_AGAIN_S = 60;
/** A view that is being zoomed is read when it has stopped changing. */
const SETTLED_MS = 200;
const STATES_SHOWN = 8;
const AXES = ["x", "y", "z", "w"];

const curvesTitle = ({ resource, vector }: Curves): string => (vector ? vectorName(vector) : nameOf(resource));

/** Resources whose values are states, and no numbers, places or documents. */
const isState = ({ kind, vectors, name, type, text }: Resource): boolean =>
  kind === "text" && !vectors && !FACTS.has(name) && name !== "js" && !["position", "json", "vector", "command"].includes(type.kind ?? "") && !/^\s*[[{]/.test(text);

function firstView(node: Node): View {
  const now = brokerTime();
  // Of a node that is offline: the hour before that.
  if (node.left?.filed && node.lastSeen > 0) return between(node.lastSeen - 3600, node.lastSeen + 60, now);
  // An hour of a node that has just come would be an empty chart.
  const range = rangeSeconds(layout.peek().range);
  if (range) return lastSeconds(range, now);
  const isNew = node.since > 0 && now - node.since < SPANS[0];
  return lastSeconds(SPANS[isNew ? 0 : 1], now);
}

/** Charts, numbers of one unit in one. */
interface Group {
  id: string;
  title: string;
  unit: string;
  lines: Line[];
  limits: Limit[];
  /** Alerts about what it shows, and about the node. */
  alerts: Alert[];
}

/** `only`: the one of these resources whose alerts are shown, beside those of the node. */
export function Charts({ node, resources, only = "" }: { node: Node; resources: Resource[]; only?: string }) {
  const all = curvesOf(resources);
  const states = resources.filter(isState).slice(0, STATES_SHOWN);
  const view = useSignal<View>(useMemo(() => firstView(node), [node]));
  const span = useSignal<number>(view.peek().seconds || SPANS[1]);
  const cursor = useSignal<number | null>(null);
  const pulse = useSignal(0);
  const loaded = useSignal<Loaded>(nothing());
  const status = useSignal<"live" | "loading" | "stored" | "failed">("live");
  const problem = useSignal("");
  const chosen = useSignal<Set<string> | null>(null);
  const compared = useSignal<Resource[]>([]);
  const comparing = useSignal(false);
  const era = useSignal(0);
  const limits = useSignal<NodeLimit[]>([]);
  const drawings = useRef(new Map<string, Drawing>());
  const shared = useMemo<Shared>(() => ({ view, cursor, byKey: false, pulse, drawings: drawings.current, reset: () => (view.value = lastSeconds(span.peek(), brokerTime())) }), []);
  const isShown = (key: string) => (chosen.value ? chosen.value.has(key) : all.findIndex((its) => its.key === key) < CURVES_SHOWN);
  const shown = all.filter(({ key }) => isShown(key));
  const numbers = [...new Set([...shown.filter(({ vector }) => !vector).map(({ resource }) => resource), ...compared.value])];
  const vectors = [...new Set(shown.filter(({ vector }) => vector).map(({ resource }) => resource))];
  const names = [...numbers, ...vectors, ...states].map((resource) => `${resource.node.uid}\n${resource.name}`).join("\n");
  const wanted = useRef({ node, numbers, vectors, states });
  wanted.current = { node, numbers, vectors, states };

  useSignalEffect(() => {
    void view.value;
    void era.value;
    void jumps.value;
    const cancel = new AbortController();
    const read = async (isFirst: boolean) => {
      const { from, to } = viewAt(view.peek(), brokerTime());
      if (isFirst && status.peek() === "live") status.value = "loading";
      try {
        const found = await load(wanted.current, from, to, cancel.signal);
        if (cancel.signal.aborted) return;
        status.value = found ? "stored" : "live";
        if (found) loaded.value = found;
        pulse.value += 1;
      } catch (error) {
        if (cancel.signal.aborted || !isFirst) return; // what was read before is still right
        problem.value = problemText(error);
        status.value = "failed";
      }
    };
    const settled = setTimeout(() => void read(true), status.peek() === "live" ? 0 : SETTLED_MS);
    const again = Math.max(READ_AGAIN_S, loaded.peek().step);
    const timer = view.peek().seconds ? setInterval(() => void (document.hidden || read(false)), again * 1000) : 0;
    return () => {
      cancel.abort();
      clearTimeout(settled);
      clearInterval(timer);
    };
  });
  // What is to be read has changed.
  useEffect(() => {
    era.value += 1;
  }, [names]);
  // Draw with the samples, and with the time: every second, or less often if a pixel is longer.
  useEffect(() => {
    const stops = [...numbers, ...vectors].map((resource) => onSample(resource, () => view.peek().seconds && (pulse.value += 1)));
    const others = compared.peek();
    for (const { node: its } of others) setVisible(its, true);
    return () => {
      stops.forEach((stop) => stop());
      for (const { node: its } of others) setVisible(its, false);
    };
  }, [names]);
  useEffect(() => {
    if (!mayHaveApi() || link.peek().legacy) return;
    // A broker of an earlier version does not have them.
    void readLimits(node.uid).then(
      (found) => (limits.value = found),
      () => undefined,
    );
  }, [node]);
  const drawnAt = useRef(0);
  useSignalEffect(() => {
    void second.value;
    const { from, to, seconds } = view.peek();
    const now = clock();
    if (!seconds || now - drawnAt.current < (to - from) / 2000) return;
    drawnAt.current = now;
    pulse.value += 1;
  });

  if (!all.length && !states.length)
    return (
      <section class="charts">
        <h3>{t("details.charts")}</h3>
        <p class="soft">{t("details.no_numbers")}</p>
      </section>
    );
  const ofNode = concerning(alertsOf(alerts.value ?? [], node.uid), only);
  const groups = groupsOf(node, shown, compared.value, loaded.value, limits.value, ofNode);
  // Without a history there is nothing to draw of a node that was not online here.
  const drawn = groups.filter(({ lines }) => !node.left?.filed || status.value !== "live" || lines.some(({ ring }) => ring()));
  const choose = (key: string, show: boolean) => {
    const others = shown.map((its) => its.key).filter((its) => its !== key);
    chosen.value = new Set(show ? [...others, key] : others);
  };
  // In the order of the page: a chart that was made again is the last one of the map.
  const parts = () => [...drawn.map(({ id }) => id), ...states.map(({ name }) => name)].flatMap((id) => drawings.current.get(id) ?? []);
  const fileName = node.uid.replace(/[^\w-]/g, "_");
  const csv = () => save(`${fileName}.csv`, new Blob([toCsv(parts().flatMap(({ rows }) => rows()))], { type: "text/csv" }));
  const png = async () => {
    const { from, to } = viewAt(view.peek(), brokerTime());
    const picture = await pictureOf(nodeTitle(node), `${timeOf(from)} – ${timeOf(to)}`, parts());
    if (picture) save(`${fileName}.png`, picture);
  };
  return (
    <section class="charts">
      <div class="charts-head">
        <h3>{t("details.charts")}</h3>
        <button type="button" class="button small" aria-expanded={comparing.value} onClick={() => (comparing.value = !comparing.peek())}>
          {d("compare")}
        </button>
        <button type="button" class="button small" onClick={csv}>
          {t("details.csv")}
        </button>
        <button type="button" class="button small" onClick={() => void png()}>
          {d("png")}
        </button>
        <button type="button" class="button small" onClick={() => print()}>
          {d("print")}
        </button>
      </div>
      <RangeBar shared={shared} chosen={span} />
      {comparing.value && <Compare node={node} compared={compared.value} change={(list) => (compared.value = list)} />}
      {all.length > CURVES_SHOWN && (
        <fieldset class="curves">
          <legend>{t("details.choose")}</legend>
          {all.map((curves) => (
            <label key={curves.key} class="check">
              <input type="checkbox" checked={isShown(curves.key)} onChange={(event) => choose(curves.key, event.currentTarget.checked)} />
              {curvesTitle(curves)}
            </label>
          ))}
        </fieldset>
      )}
      <p class="hint" role={status.value === "failed" ? "alert" : undefined}>
        {noteOf(status.value, problem.value, loaded.value)}
      </p>
      {ofNode.length > 0 && <AlertStrip alerts={ofNode} shared={shared} />}
      {drawn.map((group) => (
        <NumberChart key={`${group.id} ${group.lines.map(({ name }) => name).join()}`} {...group} shared={shared} />
      ))}
      {states.map((resource) => (
        <StateStrip key={resource.name} resource={resource} samples={loaded.value.states.get(resource) ?? []} absences={loaded.value.absences} shared={shared} />
      ))}
      {loaded.value.truncated.map((resource) => (
        <p key={resource.name} class="hint">
          {d("truncated", { n: formatNumber(SAMPLES_READ), name: nameOf(resource) })}
        </p>
      ))}
      <p class="hint help-keys">{d("help")}</p>
    </section>
  );
}

function noteOf(status: "live" | "loading" | "stored" | "failed", reason: string, { step }: Loaded): string {
  switch (status) {
    case "live":
      return t("details.not_stored");
    case "loading":
      return t("details.loading");
    case "failed":
      return t("details.failed", { reason });
    case "stored":
      return `${t("details.stored")}${step > 1 ? ` ${d("band", { age: duration(step) })}` : ""}`;
  }
}

/** Charts of what is shown; what is compared is in the first of its unit, or in one of its own. */
function groupsOf(node: Node, shown: Curves[], compared: Resource[], { steps, vectors }: Loaded, nodeLimits: readonly NodeLimit[], ofNode: readonly Alert[]): Group[] {
  const groups = shown.map((curves): Group => {
    const { key, resource, vector } = curves;
    if (!vector) return { id: key, title: curvesTitle(curves), unit: resource.unit, lines: [{ name: "", resource, ring: () => resource.ring, stored: steps.get(resource) }], limits: limitsOf(nodeLimits, resource.name), alerts: concerning(ofNode, resource.name) };
    const axes = resource.vectors?.get(vector)?.rings ?? [];
    const stored = vectors.get(resource)?.get(vector);
    return {
      id: key,
      title: curvesTitle(curves),
      unit: resource.unit || UNITS[vector] || "",
      lines: axes.map((_, axis) => ({ name: AXES[axis] ?? String(axis), resource, ring: () => resource.vectors?.get(vector)?.rings[axis] ?? null, stored: stored?.[axis] })),
      limits: [],
      alerts: concerning(ofNode, resource.name),
    };
  });
  for (const resource of compared) {
    const line: Line = { name: comparedName(resource, node), resource, ring: () => resource.ring, stored: steps.get(resource) };
    const place = groups.find(({ unit, lines }) => unit === resource.unit && lines[0]?.name.length !== 1 && lines.every((its) => its.resource !== resource));
    if (!place) groups.push({ id: `${resource.node.uid} ${resource.name}`, title: line.name, unit: resource.unit, lines: [{ ...line, name: "" }], limits: [], alerts: [] });
    else {
      if (place.lines[0].name === "") place.lines[0] = { ...place.lines[0], name: comparedName(place.lines[0].resource, node) };
      place.lines.push(line);
    }
  }
  return groups;
}

/** Units of inertial sensors that name none: those of the firmware that this format comes from. */
const UNITS: Record<string, string> = { acc: "mg", gyro: "°/s" };
