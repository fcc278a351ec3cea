// SPDX-License-Identifier: BSD-3-Clause
/** One number, one vector, or several numbers of one unit, over time. */
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import "./languageTag";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Alert } from "../../alerts";
import { spansOf } from "../../model/alertSpans";
import { aligned, joined, liveCurve, summary, withGaps, type Curve, type Stored, type Summary } from "../../model/curves";
import { axisRange, axisTicks, share, shortDigits, type Tick } from "../../model/figures";
import { withLimits, type Limit } from "../../model/limits";
import type { Ring } from "../../model/ring";
import { between, viewAt } from "../../model/timeView";
import type { Resource } from "../../model/state";
import { quote, visible } from "../../model/text";
import { language, localDigits, timeOf } from "../../i18n";
import { d } from "../../i18n/details";
import { colours, printing } from "../colours";
import { brokerTime, isMove, listenToTouch, nearest, onKey, onWheel, type Shared } from "./context";
import { paintChart } from "./paint";

const HEIGHT = 168;
/** With fewer visible samples, each is marked. */
const POINTS_SHOWN = 40;
const CHARACTER_PX = 6.5;
const AXIS_PX = 56;
/** The width of a chart on A4 and Letter paper. */
const PAPER_PX = 680;

/** One line of a chart. */
export interface Line {
  /** `x`, or the name of what is compared; empty if there is one line only. */
  name: string;
  resource: Resource;
  ring: () => Ring | null;
  stored: Stored | undefined;
}

interface Drawn {
  curves: Curve[];
  times: number[];
  ticks: Tick[];
  /** Where on the axis, 0 to 1. */
  limits: { share: number; colour: string }[];
  alerts: Mark[];
}

/** An alert in the chart, from its rise to the end of it or of the view. */
interface Mark {
  from: number;
  to: number;
  colour: string;
  /** Whether its rise and its end are in the view. */
  rises: boolean;
  ends: boolean;
}

const spelledOut = (value: number): string => localDigits(shortDigits(String(Number(value.toPrecision(7)))));

export interface ChartProperties {
  id: string;
  title: string;
  unit: string;
  lines: Line[];
  limits: Limit[];
  alerts: Alert[];
  shared: Shared;
}

export function NumberChart({ id, title, unit, lines, limits, alerts, shared }: ChartProperties) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const drawn = useRef<Drawn>({ curves: [], times: [], ticks: [], limits: [], alerts: [] });
  const given = useRef(lines);
  given.current = lines;
  const watched = useRef(limits);
  watched.current = limits;
  const raised = useRef(alerts);
  raised.current = alerts;
  const summaries = useSignal<(Summary | null)[]>([]);
  const isEmpty = useSignal(false);
  const { view, cursor } = shared;
  const names = lines.map(({ name }) => name);
  const at = useComputed(() => {
    if (cursor.value === null) return "";
    void summaries.value; // after it was drawn
    const { curves } = drawn.current;
    const parts = curves.flatMap(({ times, values, lows, highs, counts }, which) => {
      const index = nearest(times, cursor.value ?? 0);
      const value = index < 0 ? null : values[index];
      if (value === null) return [];
      const band = counts[index] > 1 && lows[index] !== highs[index] ? ` (${spelledOut(lows[index] ?? value)} – ${spelledOut(highs[index] ?? value)})` : "";
      return [`${names[which]} ${spelledOut(value)}${band}`.trim()];
    });
    return parts.length ? `${parts.join("  ")} ${visible(unit)} · ${timeOf(cursor.value)}` : timeOf(cursor.value);
  });
  const fill = () => {
    const it = plot.current;
    if (!it) return;
    const { from, to } = viewAt(view.peek(), brokerTime());
    const curves = given.current.map(({ ring, stored }) => withGaps(joined(stored, liveCurve(ring(), from, to))));
    const [low, high] = rangeOf(curves, from, to, unit, watched.current);
    const { times, columns } = aligned(curves);
    const marks = watched.current.filter(({ at }) => at >= low && at <= high).map(({ at, severity }) => ({ share: share(at, low, high), colour: colours.peek().limits[severity] }));
    const spans = spansOf(raised.current, from, to).map(({ alert: its, ...span }): Mark => ({ ...span, colour: colours.peek().limits[its.severity], rises: (its.raised ?? 0) >= from, ends: span.to < to || its.cleared === to }));
    drawn.current = { curves, times, ticks: axisTicks(low, high), limits: marks, alerts: spans };
    summaries.value = curves.map((curve) => summary(curve, from, to));
    isEmpty.value = summaries.peek().every((its) => its === null);
    const shares = columns.map((column) => column.map((value) => (typeof value === "number" ? share(value, low, high) : value)));
    it.batch(() => {
      it.setData([times, ...shares] as uPlot.AlignedData, false);
      it.setScale("x", { min: from, max: to });
      it.redraw(false, true); // the ticks are others, although the scale is the same
    });
    follow(it, cursor.peek(), shared.byKey);
  };
  useSignalEffect(() => {
    const { line, soft, edge, axes } = colours.value;
    const code = language.value;
    const width = printing.value ? PAPER_PX : 0;
    if (!place.current) return;
    plot.current?.destroy();
    const strokes = names.length > 1 ? names.map((_, index) => axes[index % axes.length]) : [line];
    plot.current = make(place.current, { strokes, soft, edge, code, width }, drawn, shared);
    fill();
  });
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const watch = new ResizeObserver(() => printing.peek() || plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    const stop = listenToTouch(element, shared);
    const wheel = (event: WheelEvent) => {
      const over = plot.current?.over.getBoundingClientRect();
      if (over) onWheel(shared, event, over);
    };
    const leave = () => shared.byKey || (cursor.value = null);
    const move = (event: MouseEvent) => void isMove(shared, event);
    element.addEventListener("wheel", wheel, { passive: false });
    // Before the chart itself sets the crosshair.
    element.addEventListener("mousemove", move, true);
    element.addEventListener("mouseleave", leave);
    return () => {
      element.removeEventListener("mousemove", move, true);
      element.removeEventListener("mouseleave", leave);
      watch.disconnect();
      stop();
      element.removeEventListener("wheel", wheel);
      plot.current?.destroy();
      plot.current = null;
      shared.drawings.delete(id);
    };
  }, []);
  useEffect(fill, [lines.map(({ stored }) => stored), limits.length, alerts.map(({ id, raised: from, cleared }) => `${id} ${from} ${cleared}`).join()].flat());
  useSignalEffect(() => {
    void view.value;
    void shared.pulse.value;
    fill();
  });
  useSignalEffect(() => {
    if (plot.current) follow(plot.current, cursor.value, shared.byKey);
  });
  shared.drawings.set(id, {
    title,
    rows: () =>
      given.current.map(({ resource }, index) => ({
        uid: resource.node.uid,
        name: names[index] && names[index].length === 1 ? `${id} ${names[index]}` : resource.name,
        unit: resource.unit,
        curve: drawn.current.curves[index],
      })),
    paint: (context, width, top) => paintChart(context, { width, top, title, unit, names, canvas: plot.current?.ctx.canvas ?? null, strokes: strokesOf(names) }),
  });
  const clear = () => {
    shared.byKey = false;
    cursor.value = null;
  };
  const keyDown = (event: KeyboardEvent) => {
    if (onKey(shared, event, drawn.current.times)) event.preventDefault();
  };
  return (
    <figure class="chart" data-resource={lines[0].resource.name}>
      <figcaption>
        <span>
          {title} <span class="unit">{visible(unit)}</span>
          {names.length > 1 &&
            names.map((name, index) => (
              <span key={name} class="axis" style={{ color: `var(--axis-${"xyz"[index % 3]})` }}>
                {visible(name)}
              </span>
            ))}
        </span>
        <span class="soft reading">{at}</span>
      </figcaption>
      <div class="chart-box">
        <div
          ref={place}
          class="chart-place"
          role="slider"
          tabIndex={0}
          aria-label={d("chart.of", { name: title })}
          aria-valuenow={useComputed(() => Math.round(cursor.value ?? brokerTime()))}
          aria-valuetext={useComputed(() => at.value || d("chart.of", { name: title }))}
          onKeyDown={keyDown}
          onBlur={clear}
        />
        {isEmpty.value && <p class="chart-empty soft">{d("chart.empty")}</p>}
      </div>
      {limits.length > 0 && (
        <ul class="limits">
          {limits.map(({ title: rule, at: limit, isAbove, severity }) => (
            <li key={`${rule} ${limit}`} data-severity={severity}>
              {d(isAbove ? "limit.above" : "limit.below", { title: quote(rule), limit: `${localDigits(String(limit))}\u00a0${visible(unit)}`.trim() })}
            </li>
          ))}
        </ul>
      )}
      <Summaries lines={lines} summaries={summaries.value} unit={unit} moves={view.value.seconds > 0} />
    </figure>
  );
}

const strokesOf = (names: string[]): string[] => {
  const { line, axes } = colours.peek();
  return names.length > 1 ? names.map((_, index) => axes[index % axes.length]) : [line];
};

function Summaries({ lines, summaries, unit, moves }: { lines: Line[]; summaries: (Summary | null)[]; unit: string; moves: boolean }) {
  return (
    <>
      {summaries.map(
        (its, index) =>
          its &&
          lines[index] && (
            <div key={index} class="summary">
              {lines.length > 1 && <span class="summary-name">{visible(lines[index].name)}</span>}
              <dl>
              {([["latest", its.last], ["min", its.low], ["mean", its.mean], ["max", its.high]] as const).map(
                ([key, value]) =>
                  value !== null && (
                    <div key={key}>
                      <dt>{d(key === "latest" && !moves ? "last" : key)}</dt>
                      <dd title={localDigits(String(value))}>
                        {rounded(value, its)} <span class="unit">{visible(unit)}</span>
                      </dd>
                    </div>
                  ),
              )}
              </dl>
            </div>
          ),
      )}
    </>
  );
}

/** With the digits that its range makes worth reading. */
function rounded(value: number, { low, high }: Summary): string {
  const size = Math.max(Math.abs(low), Math.abs(high));
  const places = high > low ? Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(high - low)))) : 6;
  const text = size < 1e9 && size >= 1e-6 ? String(Number(value.toFixed(places))) : String(Number(value.toPrecision(5)));
  return localDigits(shortDigits(text));
}

/** The axis of the values between two times, with the band; of 0 to 1 without any. */
function rangeOf(curves: Curve[], from: number, to: number, unit: string, limits: readonly Limit[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const { times, lows, highs } of curves)
    times.forEach((time, index) => {
      const [least, most] = [lows[index], highs[index]];
      if (least === null || most === null || time < from || time > to) return;
      low = Math.min(low, least);
      high = Math.max(high, most);
    });
  if (low > high) return [0, 1];
  const range = axisRange(low, high, unit);
  const [least, most] = withLimits(...range, limits);
  return least < range[0] || most > range[1] ? axisRange(least, most, unit) : range;
}

/** Show the crosshair at a time. `byKey`: also if the chart has the pointer. */
function follow(plot: uPlot, at: number | null, byKey: boolean): void {
  if (!byKey && plot.over.matches(":hover") && plot.cursor.event) return;
  const left = at === null ? -10 : plot.valToPos(at, "x");
  plot.setCursor({ left, top: at === null ? -10 : plot.over.clientHeight / 2 }, false);
}

interface Look {
  strokes: string[];
  soft: string;
  edge: string;
  code: string;
  /** In pixels; 0: that of its place. */
  width: number;
}

function make(place: HTMLElement, look: Look, drawn: { current: Drawn }, shared: Shared): uPlot {
  const axis = { stroke: look.soft, grid: { stroke: look.edge, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(look.code, options);
  const clockTime = { hour: "2-digit", minute: "2-digit" } as const;
  const time = format(clockTime);
  const day = format({ day: "numeric", month: "short" });
  const seconds = format({ ...clockTime, second: "2-digit" });
  const points = { show: (_plot: uPlot, _series: number, first: number, last: number) => last - first < POINTS_SHOWN, size: 5 };
  const bandLine = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: false };
  return new uPlot(
    {
      width: look.width || place.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 14, 0, 0],
      cursor: {
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7 },
        bind: {
          dblclick: () => () => {
            shared.reset();
            return null;
          },
        },
      },
      scales: { y: { range: [0, 1] } },
      axes: [
        {
          ...axis,
          size: 26,
          space: 84,
          values: (_plot, splits, _index, _space, step) =>
            splits.map((at) => {
              const date = new Date(at * 1000);
              const isMidnight = !date.getHours() && !date.getMinutes() && !date.getSeconds();
              return (step >= 43_200 || isMidnight ? day : step < 60 ? seconds : time).format(date);
            }),
        },
        {
          ...axis,
          size: (_plot, values) => Math.max(AXIS_PX, 14 + CHARACTER_PX * Math.max(0, ...(values ?? []).map(({ length }) => length))),
          splits: () => drawn.current.ticks.map(({ at }) => at),
          values: () => drawn.current.ticks.map(({ text }) => localDigits(text)),
        },
      ],
      series: [{}, ...look.strokes.flatMap((stroke) => [{ stroke, width: 1.75, points, spanGaps: false }, bandLine, bandLine])],
      bands: look.strokes.map((stroke, index) => ({ series: [3 * index + 3, 3 * index + 2], fill: `${stroke}33` })),
      hooks: {
        drawAxes: [
          (it) => {
            const { ctx, bbox } = it;
            let last = -Infinity;
            for (const mark of drawn.current.alerts) last = drawAlert(ctx, bbox, mark, it.valToPos(mark.from, "x", true), it.valToPos(mark.to, "x", true), last);
            drawn.current.limits.forEach((limit) => drawLimit(ctx, bbox.left, bbox.width, bbox.top + (1 - limit.share) * bbox.height, limit.colour));
          },
        ],
        setCursor: [
          (it) => {
            if (shared.byKey || !it.cursor.event || !it.over.matches(":hover")) return;
            const { left = -1 } = it.cursor;
            shared.cursor.value = left < 0 ? null : it.posToVal(left, "x");
          },
        ],
        setSelect: [
          (it) => {
            const { left, width } = it.select;
            if (width <= 0) return;
            shared.view.value = between(it.posToVal(left, "x"), it.posToVal(left + width, "x"), brokerTime());
            it.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    },
    [[], ...look.strokes.flatMap(() => [[], [], []])] as unknown as uPlot.AlignedData,
    place,
  );
}

/** A dashed line across the chart, in pixels of the canvas. */
function drawLimit(context: CanvasRenderingContext2D, left: number, width: number, y: number, colour: string): void {
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = 1.5 * devicePixelRatio;
  context.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  context.beginPath();
  context.moveTo(left, y);
  context.lineTo(left + width, y);
  context.stroke();
  context.restore();
}

const MARK_PX = 5;
/** Lines that are closer would hide the values. */
const MARKS_APART_PX = 8;

/**
 * An alert: tinted while it was active, a line with a triangle where it was raised, a dotted line where
 * it ended. `last`: where the previous line is. Returns where the last one is now.
 */
function drawAlert(context: CanvasRenderingContext2D, { top, height }: uPlot.BBox, { colour, rises, ends }: Mark, from: number, to: number, last: number): number {
  const scale = devicePixelRatio;
  // On whole pixels: sharp, and as wide everywhere.
  const line = (x: number) => {
    context.beginPath();
    context.moveTo(Math.round(x), top);
    context.lineTo(Math.round(x), top + height);
    context.stroke();
  };
  context.save();
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2 * Math.max(1, Math.round(scale));
  context.globalAlpha = 0.1;
  context.fillRect(from, top, Math.max(scale, to - from), height);
  context.globalAlpha = 1;
  if (rises && from - last >= MARKS_APART_PX * scale) {
    last = from;
    line(from);
    context.beginPath();
    context.moveTo(from - MARK_PX * scale, top);
    context.lineTo(from + MARK_PX * scale, top);
    context.lineTo(from, top + MARK_PX * 1.6 * scale);
    context.fill();
  }
  if (ends && to - last >= MARKS_APART_PX * scale) {
    last = to;
    context.setLineDash([2 * scale, 3 * scale]);
    line(to);
  }
  context.restore();
  return last;
}
