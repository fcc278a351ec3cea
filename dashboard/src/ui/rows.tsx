// SPDX-License-Identifier: BSD-3-Clause
/** Rows for resources without a renderer of their own: a number or a text. */
import { useComputed, type ReadonlySignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { shortDigits } from "../model/figures";
import type { Resource } from "../model/state";
import { visible } from "../model/text";
import { staleAfter } from "../model/state";
import { isUsual, truthOf } from "../model/resourceTypes";
import { triggerOf, clock, clockOf, isLive, onSample, state } from "../store";
import { mayHaveApi } from "../config";
import { drawLines } from "./canvas";
import { isOld, noteOf } from "./notes";
import { localDigits, t, translate, timeOf } from "../i18n";

/** The display name: known resources have one in each language. */
export const titleOf = (name: string): string => {
  const key = `resource.${name}`;
  const text = translate(key);
  return text === key ? visible(name) : text;
};

/** The display name of a resource of a node: people and devices may have given it a label. */
export const nameOf = ({ name, type }: Resource): string => (type.label ? visible(type.label) : titleOf(name));

/** Whether its controls have no effect now. */
export const useOff = ({ node }: Resource) => useComputed(() => (void triggerOf(node).value, !isLive.value || node.left !== null));

/** The line under a name: age of the value, or state of a command. */
export function NoteLine({ resource }: { resource: Resource }) {
  const note = useComputed(() => {
    void clockOf(resource.node).value;
    void triggerOf(resource).value;
    void triggerOf(resource.node).value;
    return noteOf(resource);
  });
  const text = useComputed(() => note.value.text);
  const kind = useComputed(() => note.value.kind);
  const title = useComputed(() => (void triggerOf(resource).value, resource.ts ? timeOf(resource.ts) : ""));
  return (
    <span class="note" data-note={kind} title={title}>
      {text}
    </span>
  );
}

export function RowFrame({
  resource,
  kind,
  children,
}: {
  resource: Resource;
  kind: string;
  children: ComponentChildren;
}) {
  return (
    <div class={`row ${kind}`} data-resource={resource.name}>
      <span class="label">
        <span class="name" data-tip="">
          {nameOf(resource)}
        </span>
        <NoteLine resource={resource} />
      </span>
      {children}
    </div>
  );
}

export const isStale = (resource: Resource): boolean =>
  !resource.ts ||
  isOld(resource) ||
  (resource.kind === "number" && clock() + state.offset - resource.ts > staleAfter(resource.node)) ||
  resource.forgotten !== undefined;

/** The text of a value that is no number. */
export const textValue = ({ text, type }: Resource): string => {
  const truth = type.kind === "boolean" && isUsual(text) ? truthOf(text, type) : null;
  return truth === null ? visible(text) : t(truth ? "led.on" : "led.off");
};

export function NumberRow({ resource }: { resource: Resource }) {
  const unit = useComputed(() => (void triggerOf(resource).value, visible(resource.unit)));
  const stale = useComputed(() => (void clockOf(resource.node).value, void triggerOf(resource).value, isStale(resource)));
  return (
    <RowFrame resource={resource} kind="number">
      <Spark resource={resource} />
      <span class="value" data-stale={stale}>
        <Digits resource={resource} />
        <span class="unit">{unit}</span>
      </span>
    </RowFrame>
  );
}

/** Longer digits have a smaller font. */
const SMALL = 8;

/** The digits of a number, in short form if they are long; then all of them on hover and on focus. */
export function Digits({ resource }: { resource: Resource }) {
  const short = useComputed(() => (void triggerOf(resource).value, localDigits(shortDigits(resource.digits))));
  const form = useComputed(() => (void triggerOf(resource).value, short.value !== localDigits(resource.digits) ? "cut" : short.value.length > SMALL ? "small" : undefined));
  if (form.value === "cut") return <LongDigits resource={resource} short={short} />;
  return (
    <span class="digits" data-size={form.value}>
      {short}
    </span>
  );
}

function LongDigits({ resource, short }: { resource: Resource; short: ReadonlySignal<string> }) {
  const all = useComputed(() => (void triggerOf(resource).value, localDigits(resource.digits)));
  return (
    <span class="digits" data-size="small" data-tip={all} aria-label={all} role="img" tabIndex={0}>
      {short}
    </span>
  );
}

function Spark({ resource }: { resource: Resource }) {
  const ref = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return;
    let recalled = !mayHaveApi();
    const draw = () => {
      if (!resource.ring) return;
      drawLines(canvas, [resource.ring], resource.unit, !state.live || !!resource.node.left);
      if (recalled || !resource.node.visible) return;
      recalled = true;
      // After a lost connection, the sparkline starts again.
      import("../sparklineHistory").then(({ prependHistory }) => prependHistory(resource, draw)).catch(() => undefined);
    };
    return onSample(resource, draw);
  }, [resource]);
  return <canvas ref={ref} class="spark" data-width="64" data-height="34" aria-hidden="true" />;
}

const LONG = 22;
/** Longer text may be cut on a card. */
const CUT = 80;
const ONE_WORD = /^\S{12,}$/;

export function TextRow({ resource }: { resource: Resource }) {
  const text = useComputed(() => (void triggerOf(resource).value, textValue(resource)));
  const kind = useComputed(() => (text.value.length > LONG ? "text long" : ONE_WORD.test(text.value) ? "text word" : "text"));
  const focus = useComputed(() => (text.value.length > CUT ? 0 : undefined));
  return (
    <RowFrame resource={resource} kind={kind.value}>
      <span class="value" data-tip="" tabIndex={focus}>
        {text}
      </span>
    </RowFrame>
  );
}
