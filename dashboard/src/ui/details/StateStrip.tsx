// SPDX-License-Identifier: BSD-3-Clause
/** A switch, a choice or a text over time: a strip of its values. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { fitted, hueOf, segmentAt, segmentsOf, type Absence, type Sample, type Segment } from "../../model/segments";
import { isUsual, truthOf } from "../../model/resourceTypes";
import type { Resource } from "../../model/state";
import { visible } from "../../model/text";
import { viewAt } from "../../model/timeView";
import { formatNumber, t, timeOf } from "../../i18n";
import { d } from "../../i18n/details";
import { nameOf } from "../rows";
import { brokerTime, onKey, type Shared } from "./context";
import { useGestures } from "./gestures";
import { paintStrip } from "./paint";

const SEGMENTS_MAX = 240;
const HUES = 6;
/** A shorter span has no room for its text, in percent. */
const TEXT_MIN = 4;

/** The text of a value of this resource, for people. */
function wordOf(resource: Resource, text: string): string {
  const truth = resource.type.kind === "boolean" && isUsual(text) ? truthOf(text, resource.type) : null;
  return truth === null ? visible(text) : t(truth ? "led.on" : "led.off");
}

/** `on`, `off`, `unknown`, `many`, or one of some colours that a text always has. */
function kindOf(resource: Resource, { text, changes }: Segment): string {
  if (changes) return "many";
  if (text === null) return "unknown";
  const truth = resource.type.kind === "boolean" ? truthOf(text, resource.type) : null;
  return truth === null ? `hue-${hueOf(text, HUES)}` : truth ? "on" : "off";
}

export function StateStrip({ resource, samples, absences, shared }: { resource: Resource; samples: Sample[]; absences: Absence[]; shared: Shared }) {
  const bar = useRef<HTMLDivElement>(null);
  const { view, cursor, pulse } = shared;
  const given = useSignal({ samples, absences });
  given.value = { samples, absences };
  const title = nameOf(resource);
  const segments = useComputed(() => {
    void pulse.value;
    const { from, to } = viewAt(view.value, brokerTime());
    const { samples: all, absences: away } = given.value;
    const isHere = !resource.node.left && resource.ts > (all.at(-1)?.ts ?? 0) && resource.ts <= to;
    // The last value may be newer than what the history had when it was read.
    return fitted(segmentsOf(isHere ? [...all, { ts: resource.ts, text: resource.text }] : all, away, from, to), SEGMENTS_MAX);
  });
  const textOf = (segment: Segment): string =>
    segment.changes ? d("changes", { n: formatNumber(segment.changes) }) : segment.text === null ? d("unknown") : wordOf(resource, segment.text);
  const at = useComputed(() => {
    if (cursor.value === null) return "";
    const segment = segmentAt(segments.value, cursor.value);
    return `${segment ? textOf(segment) : d("unknown")} · ${timeOf(cursor.value)}`;
  });
  useEffect(() => () => void shared.drawings.delete(resource.name), []);
  shared.drawings.set(resource.name, {
    title,
    rows: () => [],
    paint: (context, width, top) =>
      paintStrip(context, width, top, title, segments.peek(), (segment) => ({
        fill: getComputedStyle(bar.current?.querySelector(`[data-kind="${kindOf(resource, segment)}"]`) ?? document.body).backgroundColor,
        text: textOf(segment),
      })),
  });
  const list = segments.value;
  const [from, to] = [list[0]?.from ?? 0, list.at(-1)?.to ?? 1];
  const percent = (ts: number) => ((ts - from) / (to - from)) * 100;
  const gestures = useGestures(bar, shared, from, to);
  const cursorAt = cursor.value !== null && cursor.value >= from && cursor.value <= to ? percent(cursor.value) : null;
  return (
    <figure class="chart strip" data-resource={resource.name}>
      <figcaption>
        <span>{title}</span>
        <span class="soft reading">{at}</span>
      </figcaption>
      <div
        ref={bar}
        class="strip-bar"
        role="slider"
        tabIndex={0}
        aria-label={d("chart.of", { name: title })}
        aria-valuenow={Math.round(cursor.value ?? brokerTime())}
        aria-valuetext={at.value || (list.length ? textOf(list[list.length - 1]) : d("unknown"))}
        {...gestures}
        onKeyDown={(event) => {
          if (onKey(shared, event, list.map((segment) => (segment.from + segment.to) / 2))) event.preventDefault();
        }}
      >
        {list.map((segment) => {
          const width = percent(segment.to) - percent(segment.from);
          return (
            <span key={segment.from} data-kind={kindOf(resource, segment)} style={{ left: `${percent(segment.from)}%`, width: `${width}%` }}>
              {width > TEXT_MIN && textOf(segment)}
            </span>
          );
        })}
        {cursorAt !== null && <i class="strip-cursor" style={{ left: `${cursorAt}%` }} />}
      </div>
    </figure>
  );
}
