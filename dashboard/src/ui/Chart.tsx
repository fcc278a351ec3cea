// SPDX-License-Identifier: BSD-3-Clause
/** One number, or one vector, over time. All charts of a node share their crosshair. */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { linesOf, type Curves } from "../curves";
import { broken, joinSeries, liveSeries, windowOf, type Range, type Series, type Stored } from "../series";
import { language, localDigits, timeOf, translate } from "../i18n";
import { axisRange, axisTicks, share, type Tick } from "../model/figures";
import { visible } from "../model/text";
import { clock, onSample, state } from "../store";
import { colours } from "./canvas";
import { titleOf } from "./rows";

const HEIGHT = 132;
/** With fewer visible samples, each is marked. */
const POINTS_SHOWN = 40;
const CHARACTER_PX = 6.5;
const AXIS_PX = 56;

/** The name of the curves, for people. */
export const curvesTitle = ({ resource, vector }: Curves): string =>
  vector ? visible(translate(`imu.${vector}`).replace("imu.", "")) : titleOf(resource.name);

/** What is drawn. uPlot gets shares of the axis instead of values: its ticks do not hold for every number. */
interface Drawn {
  series: Series[];
  ticks: Tick[];
}

export function Chart({ curves, range, stored }: { curves: Curves; range: Range; stored: Stored | undefined }) {
  const { resource } = curves;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const drawn = useRef<Drawn>({ series: [], ticks: [] });
  const at = useSignal("");
  const given = useRef({ curves, range, stored });
  given.current = { curves, range, stored };
  const fill = () => {
    const it = plot.current;
    if (!it) return;
    const [from, to] = windowOf(given.current.range, clock() + state.offset);
    const series = linesOf(given.current.curves).map(({ ring }) => {
      const line = joinSeries(given.current.stored, liveSeries(ring, from, to));
      return given.current.stored ? broken(line) : line;
    });
    const [low, high] = rangeOf(series, from, to, resource.unit);
    drawn.current = { series, ticks: axisTicks(low, high) };
    it.batch(() => {
      const shares = series.map(({ values }) => values.map((value) => (value === null ? null : share(value, low, high))));
      it.setData([series[0]?.times ?? [], ...shares], false);
      it.setScale("x", { min: from, max: to });
      it.redraw(false, true); // the ticks are others, although the scale is the same
    });
  };
  useSignalEffect(() => {
    const { line, soft, edge, axes } = colours.value;
    const code = language.value;
    if (!place.current) return;
    plot.current?.destroy();
    const names = linesOf(curves).map(({ name }) => name);
    const look = { lines: names.length > 1 ? names.map((_, index) => axes[index % axes.length]) : [line], soft, edge, code };
    plot.current = make(place.current, look, drawn, resource.node.uid, (index) => {
      const parts = drawn.current.series.flatMap(({ values }, which) => {
        const value = index === null ? null : values[index];
        return value == null ? [] : [`${names[which]} ${localDigits(String(value))}`.trim()];
      });
      at.value = index !== null && parts.length ? `${parts.join("  ")} ${visible(resource.unit)} · ${timeOf(drawn.current.series[0].times[index])}` : "";
    });
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
  useEffect(fill, [range.from, range.to, range.seconds, stored]);
  const axes = curves.vector ? linesOf(curves) : [];
  return (
    <figure class="chart" data-resource={resource.name}>
      <figcaption>
        <span>
          {curvesTitle(curves)} <span class="unit">{visible(resource.unit)}</span>
          {axes.map(({ name }) => (
            <span key={name} class={`axis axis-${name}`}>
              {name}
            </span>
          ))}
        </span>
        <span class="soft">{at}</span>
      </figcaption>
      <div ref={place} class="chart-place" role="img" aria-label={curvesTitle(curves)} />
    </figure>
  );
}

/** The axis of the values between two times; of 0 to 1 without any. */
function rangeOf(series: Series[], from: number, to: number, unit: string): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const { times, values } of series)
    values.forEach((value, index) => {
      if (value === null || times[index] < from || times[index] > to) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    });
  return low > high ? [0, 1] : axisRange(low, high, unit);
}

interface Look {
  lines: string[];
  soft: string;
  edge: string;
  code: string;
}

function make(place: HTMLElement, look: Look, drawn: { current: Drawn }, key: string, tell: (index: number | null) => void): uPlot {
  const axis = { stroke: look.soft, grid: { stroke: look.edge, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const time = new Intl.DateTimeFormat(look.code, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(look.code, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const seconds = new Intl.DateTimeFormat(look.code, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const points = { show: (_plot: uPlot, _series: number, first: number, last: number) => last - first < POINTS_SHOWN, size: 5 };
  const fill = look.lines.length > 1 ? undefined : `${look.lines[0]}1f`;
  return new uPlot(
    {
      width: place.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 34, 0, 0],
      cursor: { sync: { key: `node ${key}` }, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { y: { range: [0, 1] } },
      axes: [
        {
          ...axis,
          size: 26,
          space: 92,
          values: (_plot, splits, _index, _space, step) => splits.map((at) => (step >= 43_200 ? day : step < 60 ? seconds : time).format(at * 1000)),
        },
        {
          ...axis,
          size: (_plot, values) => Math.max(AXIS_PX, 14 + CHARACTER_PX * Math.max(0, ...(values ?? []).map(({ length }) => length))),
          splits: () => drawn.current.ticks.map(({ at }) => at),
          values: () => drawn.current.ticks.map(({ text }) => localDigits(text)),
        },
      ],
      series: [{}, ...look.lines.map((stroke) => ({ stroke, width: 1.75, fill, points, spanGaps: false }))],
      hooks: { setCursor: [(it) => tell(it.cursor.idx ?? null)] },
    },
    [[], ...look.lines.map(() => [])] as unknown as uPlot.AlignedData,
    place,
  );
}
