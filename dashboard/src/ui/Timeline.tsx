// SPDX-License-Identifier: BSD-3-Clause
/** A slider under the header: the whole page at a past moment, played or moved. */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { readEvents, type StoredEvent } from "../history";
import { problemText } from "./problemText";
import { visible } from "../model/text";
import { SPANS } from "../model/timeView";
import { brokerNow, hold, leave, show, unrecorded } from "../past";
import { past, second, timelineOpen } from "../store";
import { duration, timeOf } from "../i18n";
import { d, type DetailsKey } from "../i18n/details";
import { tl } from "../i18n/timeline";
import { Icon } from "./icons";
import "../timeline.css";

const SPEEDS = [1, 5, 10, 30, 60] as const;
const TICK_MS = 1000;
/** While the slider is dragged, this long after its last movement. */
const SETTLED_MS = 220;
const STEPS = 1000;
/** Nearer to now than this share of the span is now. */
const LIVE_SHARE = 1 / STEPS;
const EVENTS_MAX = 400;


export function Timeline() {
  const span = useSignal<number>(SPANS[3]);
  const at = useSignal(past.peek());
  const playing = useSignal(false);
  const speed = useSignal<number>(10);
  const busy = useSignal(false);
  const problem = useSignal("");
  const events = useSignal<StoredEvent[]>([]);
  const timer = useRef(0);
  void second.value;
  const now = brokerNow();
  const isPast = at.value > 0;
  const shown = isPast ? at.value : now;
  const start = Math.min(now - span.value, shown);

  const live = () => {
    clearTimeout(timer.current);
    playing.value = false;
    at.value = 0;
    busy.value = false;
    problem.value = "";
    leave();
  };
  const load = async (moment: number, isJump: boolean) => {
    busy.value = true;
    try {
      await show(moment, isJump);
      problem.value = "";
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      problem.value = problemText(error);
      playing.value = false;
    }
    busy.value = false;
  };
  const go = (moment: number, delay = SETTLED_MS) => {
    clearTimeout(timer.current);
    if (moment >= brokerNow() - span.peek() * LIVE_SHARE) return live();
    at.value = moment;
    timer.current = window.setTimeout(() => void load(moment, true), delay);
  };

  // The page may leave the past by a key, also while another moment is read.
  useSignalEffect(() => {
    if (past.value || !at.peek()) return;
    clearTimeout(timer.current);
    at.value = 0;
    playing.value = busy.value = false;
  });
  useEffect(() => {
    const tick = setInterval(() => {
      if (!at.peek()) return;
      if (!playing.peek()) return hold(at.peek());
      if (busy.peek()) return; // the history is slower than the clock: wait for it
      const next = at.peek() + (speed.peek() * TICK_MS) / 1000;
      if (next >= brokerNow()) return live();
      at.value = next;
      void load(next, false);
    }, TICK_MS);
    return () => {
      clearInterval(tick);
      clearTimeout(timer.current);
      if (at.peek()) leave(); // closed while the first moment was read
    };
  }, []);
  useEffect(() => {
    const cancel = new AbortController();
    readEvents({ from: String(brokerNow() - span.value), limit: String(EVENTS_MAX) }, ["appeared", "left"], cancel.signal)
      .then(({ rows }) => (events.value = rows))
      .catch(() => undefined);
    return () => cancel.abort();
  }, [span.value]);

  const close = () => {
    live();
    timelineOpen.value = false;
  };
  const typed = (text: string) => {
    const moment = new Date(text).getTime() / 1000;
    if (!Number.isNaN(moment)) go(moment, 0);
  };
  return (
    <section class="timeline" data-past={isPast} aria-label={tl("title")}>
      <p class="timeline-text" role="status">
        <strong>{tl(isPast ? "past" : "now")}</strong> {isPast && tl("off")} {isPast && unrecorded.value && tl("unrecorded")}
        {problem.value && <span class="bad"> {tl("failed", { reason: visible(problem.value) })}</span>}
      </p>
      <div class="timeline-bar">
        <button type="button" class="button play" disabled={!isPast} aria-pressed={playing.value} onClick={() => (playing.value = !playing.peek())}>
          <Icon name={playing.value ? "pause" : "play"} />
          <span>{tl(playing.value ? "pause" : "play")}</span>
        </button>
        <label class="timeline-field">
          <span class="visually-hidden">{tl("speed")}</span>
          <select class="input" value={speed.value} onChange={(event) => (speed.value = Number(event.currentTarget.value))}>
            {SPEEDS.map((its) => (
              <option key={its} value={its}>
                {its} ×
              </option>
            ))}
          </select>
        </label>
        <div class="timeline-slider">
          <div class="timeline-events" aria-hidden="true">
            {events.value.map(({ ts, kind }, index) => (
              <i key={index} data-kind={kind} style={{ left: `${((ts - start) / (now - start)) * 100}%` }} />
            ))}
          </div>
          <input
            type="range"
            min={0}
            max={STEPS}
            step={1}
            value={Math.round(((shown - start) / (now - start)) * STEPS)}
            aria-label={tl("slider")}
            aria-valuetext={timeOf(shown)}
            onInput={(event) => go(start + (Number(event.currentTarget.value) / STEPS) * (now - start))}
          />
        </div>
        <label class="timeline-field">
          <span class="visually-hidden">{tl("span")}</span>
          <select class="input" value={span.value} onChange={(event) => (span.value = Number(event.currentTarget.value))}>
            {SPANS.map((its) => (
              <option key={its} value={its}>
                {d(`span.${its}` as DetailsKey)}
              </option>
            ))}
          </select>
        </label>
        <label class="timeline-field moment">
          <span class="visually-hidden">{tl("moment")}</span>
          <input class="input" type="datetime-local" step={1} value={localText(shown)} onChange={(event) => typed(event.currentTarget.value)} />
        </label>
        {isPast ? (
          <button type="button" class="button primary" onClick={live}>
            {tl("live")} <kbd aria-hidden="true">t</kbd>
          </button>
        ) : (
          <button type="button" class="tool" aria-label={tl("close")} title={tl("close")} onClick={close}>
            <Icon name="close" />
          </button>
        )}
      </div>
      <p class="timeline-when soft">
        {timeOf(shown)}
        {isPast && ` · ${tl("ago", { age: duration(Math.max(1, Math.round(now - shown))) })}`}
        {busy.value && isPast && !playing.value && ` · ${tl("loading")}`}
      </p>
    </section>
  );
}

/** A time as an input of the type `datetime-local` has it, with seconds. */
function localText(ts: number): string {
  const date = new Date(ts * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
