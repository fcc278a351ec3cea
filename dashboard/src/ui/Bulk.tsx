// SPDX-License-Identifier: BSD-3-Clause
/** One command to all nodes that are shown: what, to how many, are you sure, and the receipts. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { advance, begin, isDone, writable, type Progress } from "../model/bulk";
import type { Kind } from "../messages";
import { payloadOf } from "../model/resourceTypes";
import type { Resource } from "../model/state";
import { nodeTitle, quote, visible } from "../model/text";
import { membership, sendCommand, shown } from "../store";
import { Drawer, focusOn } from "./Drawer";
import { noteOf } from "./notes";
import { nameOf } from "./rows";
import { formatNumber, t } from "../i18n";
import { h } from "../i18n/home";
import "../typed.css";

const LOOK_MS = 100;
const FAILED_SHOWN = 20;

export function Bulk({ close }: { close: () => void }) {
  const all = useComputed(() => (void membership.value, writable(shown.value)));
  const chosen = useSignal("");
  const payload = useSignal<string | null>(null);
  const isConfirming = useSignal(false);
  /** Counts changes of the progress. */
  const turn = useSignal(0);
  const progress = useRef<Progress | null>(null);
  const name = chosen.value && all.value.has(chosen.value) ? chosen.value : ([...all.value.keys()][0] ?? "");
  const resources = all.value.get(name) ?? [];
  const first = resources[0] as Resource | undefined;
  useEffect(() => {
    const timer = setInterval(() => {
      const its = progress.current;
      if (its && advance(its, (resource) => sendCommand(resource, payload.peek() ?? ""))) turn.value += 1;
    }, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  void turn.value;
  const its = progress.current;
  const start = (targets: readonly Resource[]) => {
    progress.current = begin(targets);
    isConfirming.value = false;
    turn.value += 1;
  };
  const n = formatNumber(resources.length);
  return (
    <Drawer title={h("bulk")} kind="details small bulk" close={close}>
      {!first ? (
        <p class="hint">{h("bulk.none")}</p>
      ) : its ? (
        <Result progress={its} again={() => start(its.failed)} stop={() => ((its.waiting = []), (turn.value += 1))} />
      ) : isConfirming.value ? (
        <>
          <p>{h("bulk.sure", { what: nameOf(first), value: quote(payload.value ?? ""), n })}</p>
          <div class="buttons">
            <button type="button" class="button" onClick={() => (isConfirming.value = false)}>
              {t("cancel")}
            </button>
            <button type="button" class="button primary" ref={focusOn} onClick={() => start(resources)}>
              {h("bulk.send", { n })}
            </button>
          </div>
        </>
      ) : (
        <form
          class="view-form"
          onSubmit={(event) => {
            event.preventDefault();
            payload.value ??= valuesOf(first)[0] ?? "";
            if (payload.peek() !== "") isConfirming.value = true;
          }}
        >
          <p class="hint">{h("bulk.text", { n })}</p>
          <label class="field">
            <span>{h("bulk.resource")}</span>
            <select
              value={name}
              onChange={(event) => {
                chosen.value = event.currentTarget.value;
                payload.value = null;
              }}
            >
              {[...all.value].map(([its, of]) => (
                <option key={its} value={its} selected={its === name}>
                  {nameOf(of[0])} ({formatNumber(of.length)})
                </option>
              ))}
            </select>
          </label>
          <Value key={name} resource={first} value={payload.value} set={(value) => (payload.value = value)} />
          <div class="buttons">
            <button type="button" class="button" onClick={close}>
              {t("cancel")}
            </button>
            <button type="submit" class="button primary">
              {h("bulk.send", { n })}
            </button>
          </div>
        </form>
      )}
    </Drawer>
  );
}

/** The values of a list; empty: any. */
const valuesOf = ({ type }: Resource): string[] =>
  type.kind === "boolean" ? [payloadOf(true, type), payloadOf(false, type)] : (type.choices ?? (type.kind === "command" ? [type.on ?? "1"] : []));

function Value({ resource, value, set }: { resource: Resource; value: string | null; set: (value: string) => void }) {
  const { kind, minimum, maximum, step } = resource.type;
  const values = valuesOf(resource);
  const word = (it: string) => (kind === "boolean" ? t(it === values[0] ? "led.on" : "led.off") : visible(it));
  return (
    <label class="field">
      <span>
        {h("bulk.value")}
        {resource.unit && ` (${visible(resource.unit)})`}
      </span>
      {values.length ? (
        <select value={value ?? values[0]} onChange={(event) => set(event.currentTarget.value)}>
          {values.map((it) => (
            <option key={it} value={it}>
              {word(it)}
            </option>
          ))}
        </select>
      ) : (
        <Field kind={kind} limits={{ min: minimum, max: maximum, step: step ?? "any" }} common={{ class: "input", required: true, value: value ?? "", onInput: (event) => set(event.currentTarget.value) }} />
      )}
    </label>
  );
}

interface FieldProperties {
  kind?: Kind;
  limits: { min?: number; max?: number; step: number | string };
  common: { class: string; required: boolean; value: string; onInput: (event: { currentTarget: HTMLInputElement }) => void };
}

function Field({ kind, limits, common }: FieldProperties) {
  if (kind === "number") return <input type="number" {...limits} {...common} />;
  return kind === "colour" ? <input type="color" {...common} /> : <input {...common} />;
}

function Result({ progress, again, stop }: { progress: Progress; again: () => void; stop: () => void }) {
  const { confirmed, failed, waiting, sent } = progress;
  const done = confirmed + failed.length;
  const all = done + waiting.length + sent.size;
  return (
    <div class="view-form">
      <p role="status">{h("bulk.progress", { done: formatNumber(done), n: formatNumber(all) })}</p>
      <progress max={all} value={done} aria-label={h("bulk")} />
      <p>
        <span class="note" data-note="good">
          {h("bulk.confirmed", { n: formatNumber(confirmed) })}
        </span>
        {failed.length > 0 && (
          <span class="note" data-note="bad">
            {" "}
            {h("bulk.failed", { n: formatNumber(failed.length) })}
          </span>
        )}
      </p>
      {failed.length > 0 && (
        <ul class="failed-list">
          {failed.slice(0, FAILED_SHOWN).map((resource) => (
            <li key={resource.node.uid} data-tip="">
              {nodeTitle(resource.node)}: {noteOf(resource).text}
            </li>
          ))}
        </ul>
      )}
      <div class="buttons">
        {!isDone(progress) && waiting.length > 0 && (
          <button type="button" class="button" onClick={stop}>
            {h("bulk.stop")}
          </button>
        )}
        {isDone(progress) && failed.length > 0 && (
          <button type="button" class="button" onClick={again}>
            {h("bulk.again", { n: formatNumber(failed.length) })}
          </button>
        )}
      </div>
    </div>
  );
}
