// SPDX-License-Identifier: BSD-3-Clause
/** One number over time. All charts of a node share their crosshair. */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { joinSeries, liveSeries, type Series } from "../series";
import { language } from "../i18n";
import { axisRange } from "../model/readings";
import type { Resource } from "../model/state";
import { clock, onSample, state } from "../store";
import { colours } from "./canvas";
import { titleOf } from "./rows";
import { localDigits, timeOf } from "../i18n";

const HEIGHT = 132;
/** With fewer visible samples, each is marked. */
const POINTS_SHOWN = 40;

export interface Span {
  from: number;
  /** null: now. */
  to: number | null;
}

export function Chart({ resource, span, stored }: { resource: Resource; span: Span; stored: Series | undefined }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const at = useSignal("");
  const given = useRef({ span, stored });
  given.current = { span, stored };
  const data = (): [number[], (number | null)[]] => {
    const { span: its, stored: old } = given.current;
    const series = joinSeries(old, liveSeries(resource, its.from, its.to ?? Infinity));
    return [series.times, series.values];
  };
  const fill = () => {
    const [times, values] = data();
    const end = given.current.span.to ?? clock() + state.offset;
    const it = plot.current;
    it?.batch(() => {
      it.setData([times, values], false);
      it.setScale("x", { min: Math.max(given.current.span.from, times[0] ?? end - 60), max: Math.max(end, (times[0] ?? end) + 1) });
    });
  };
  useSignalEffect(() => {
    const { line, soft, edge } = colours.value;
    const code = language.value;
    if (!place.current) return;
    plot.current?.destroy();
    plot.current = make(place.current, { line, soft, edge, code }, resource, data(), (text) => (at.value = text));
    fill();
  });
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const stop = onSample(resource, fill);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      stop();
      watch.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [resource]);
  useEffect(fill, [span.from, span.to, stored]);
  return (
    <figure class="chart" data-resource={resource.name}>
      <figcaption>
        <span>
          {titleOf(resource.name)} <span class="unit">{resource.unit}</span>
        </span>
        <span class="soft">{at}</span>
      </figcaption>
      <div ref={place} class="chart-place" role="img" aria-label={titleOf(resource.name)} />
    </figure>
  );
}

function make(
  place: HTMLElement,
  theme: { line: string; soft: string; edge: string; code: string },
  resource: Resource,
  data: [number[], (number | null)[]],
  tell: (text: string) => void,
): uPlot {
  const axis = { stroke: theme.soft, grid: { stroke: theme.edge, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const time = new Intl.DateTimeFormat(theme.code, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(theme.code, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const seconds = new Intl.DateTimeFormat(theme.code, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return new uPlot(
    {
      width: place.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 34, 0, 0],
      cursor: { sync: { key: `node ${resource.node.uid}` }, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { y: { range: (_plot, low, high) => (low === null ? [0, 1] : axisRange(low, high, resource.unit)) } },
      axes: [
        {
          ...axis,
          size: 26,
          space: 92,
          values: (_plot, splits, _index, _space, step) => splits.map((at) => (step >= 43_200 ? day : step < 60 ? seconds : time).format(at * 1000)),
        },
        { ...axis, size: 56, values: (_plot, splits) => splits.map((value) => localDigits(String(Number(value.toPrecision(8))))) },
      ],
      series: [{}, { stroke: theme.line, width: 1.75, fill: `${theme.line}1f`, points: { show: (_plot, _series, first, last) => last - first < POINTS_SHOWN, size: 5 }, spanGaps: false }],
      hooks: {
        setCursor: [
          (it) => {
            const { idx } = it.cursor;
            const value = typeof idx === "number" ? it.data[1][idx] : null;
            tell(typeof idx === "number" && value != null ? `${localDigits(String(value))} ${resource.unit} · ${timeOf(it.data[0][idx])}` : "");
          },
        ],
      },
    },
    data,
    place,
  );
}
