// SPDX-License-Identifier: BSD-3-Clause
/** The span of all charts: chosen, typed, moved and zoomed. */
import { useSignal, type Signal } from "@preact/signals";
import { changeLayout } from "../../layout";
import { between, lastSeconds, moved, rangeText, SPANS, viewAt, zoomed } from "../../model/timeView";
import { t, timeOf } from "../../i18n";
import { d, type DetailsKey } from "../../i18n/details";
import { Icon } from "../icons";
import { brokerTime, type Shared } from "./context";

/** A time as an input of the type `datetime-local` has it. */
function localText(ts: number): string {
  const date = new Date(ts * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function RangeBar({ shared, chosen }: { shared: Shared; chosen: Signal<number> }) {
  const { view } = shared;
  const custom = useSignal(false);
  void shared.pulse.value;
  const now = brokerTime();
  const { from, to, seconds } = viewAt(view.value, now);
  const choose = (span: number) => {
    custom.value = false;
    chosen.value = span;
    changeLayout({ range: rangeText(span) });
    view.value = lastSeconds(span, brokerTime());
  };
  const set = (end: "from" | "to", text: string) => {
    const ts = new Date(text).getTime() / 1000;
    if (Number.isNaN(ts)) return;
    view.value = end === "from" ? between(ts, Math.max(to, ts + 60), now) : between(Math.min(from, ts - 60), ts, now);
  };
  const zoom = (factor: number) => (view.value = zoomed(view.peek(), (from + to) / 2, factor, brokerTime()));
  const move = (share: number) => (view.value = moved(view.peek(), share, brokerTime()));
  return (
    <div class="range-bar">
      <div class="segmented spans" role="group" aria-label={d("span")}>
        {SPANS.map((span) => (
          <button key={span} type="button" aria-pressed={seconds === span && !custom.value} onClick={() => choose(span)}>
            {d(`span.${span}` as DetailsKey)}
          </button>
        ))}
        <button type="button" aria-pressed={custom.value} aria-expanded={custom.value} onClick={() => (custom.value = !custom.peek())}>
          {d("span.custom")}
        </button>
      </div>
      <div class="segmented steps" role="group" aria-label={`${timeOf(from)} – ${timeOf(to)}`}>
        <button type="button" aria-label={d("earlier")} title={d("earlier")} onClick={() => move(-0.5)}>
          <Icon name="left" />
        </button>
        <button type="button" aria-label={d("later")} title={d("later")} aria-disabled={seconds > 0} onClick={() => move(0.5)}>
          <Icon name="right" />
        </button>
        <button type="button" aria-label={d("zoom.out")} title={d("zoom.out")} onClick={() => zoom(2)}>
          −
        </button>
        <button type="button" aria-label={d("zoom.in")} title={d("zoom.in")} onClick={() => zoom(0.5)}>
          +
        </button>
        {seconds === 0 && (
          <button type="button" onClick={shared.reset}>
            {d("now")}
          </button>
        )}
      </div>
      <span class="soft range-text">
        {timeOf(from)} – {timeOf(to)}
      </span>
      {custom.value && (
        <div class="own-range">
          {(["from", "to"] as const).map((end) => (
            <label key={end} class="field">
              <span>{t(`details.${end}`)}</span>
              <input class="input" type="datetime-local" value={localText(end === "from" ? from : to)} onChange={(event) => set(end, event.currentTarget.value)} />
            </label>
          ))}
        </div>
      )}
    </div>
  );
}

