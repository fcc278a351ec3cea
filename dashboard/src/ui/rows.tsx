// SPDX-License-Identifier: BSD-3-Clause
/** Rows for resources without a renderer of their own: a number or a text. */
import { signal, useComputed, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { shortDigits } from "../model/figures";
import type { Resource } from "../model/state";
import { sentence, visible } from "../model/text";
import { staleAfter } from "../model/state";
import { isUsual, truthOf } from "../model/resourceTypes";
import { triggerOf, clock, clockOf, isLive, onSample, state } from "../store";
import { mayHaveApi } from "../config";
import { mayCommand } from "../info";
import { nodeLink, openNode, openValue } from "../route";
import { drawLines } from "./sparkline";
import { isOld, noteOf } from "./notes";
import { atRest } from "./rest";
import { localDigits, t, translate, timeOf } from "../i18n";

/** The display name: known resources have one in each language. */
export const titleOf = (name: string): string => {
  const [, stem, index = 0] = /^(.*?)(?:_(\d+))?$/.exec(name) ?? [];
  const key = `resource.${stem}`;
  const text = translate(key);
  return text === key ? sentence(visible(name)) : +index ? `${text} ${index}` : text;
};

/** The display name of a resource of a node: people and devices may have given it a label. */
export const nameOf = ({ name, type }: Resource): string => (type.label ? visible(type.label) : titleOf(name));

/** Whether its controls have no effect now. */
export const useOff = ({ node }: Resource) => useComputed(() => (void triggerOf(node).value, !isLive.value || node.left !== null));

/** Sets the time as a tip on hover only: the first use of `Intl` takes a phone 0.2 s. */
const nameTime = (resource: Resource) => (event: MouseEvent) => {
  (event.currentTarget as HTMLElement).title = resource.ts ? timeOf(resource.ts) : "";
};

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
  return (
    <span class="note" data-note={kind} onMouseEnter={nameTime(resource)}>
      {text}
    </span>
  );
}

const icons = signal<((resource: Resource) => string) | null>(null);
void import("./resourceIcons").then(
  (it) => (icons.value = it.iconOf),
  () => undefined,
);

function KindIcon({ resource }: { resource: Resource }) {
  return (
    <svg class="icon kind" viewBox="0 0 20 20" aria-hidden="true">
      <path d={icons.value?.(resource)} />
    </svg>
  );
}

/** The resource that is being set in a dialog. */
export const setting = signal<Resource | null>(null);

/** In the details, what may accept a value, and positions. */
const mayBeSet = ({ type: { writable, kind }, node }: Resource): boolean =>
  openNode.value === node.uid && mayCommand.value && !node.left && kind !== "command" && (writable === undefined || (writable && kind === "position"));

export function RowFrame({
  resource,
  kind,
  on,
  children,
}: {
  resource: Resource;
  kind: string;
  /** Of a switch: whether it is on. */
  on?: Signal<boolean>;
  children: ComponentChildren;
}) {
  const { node, name } = resource;
  const title = nameOf(resource);
  const link = nodeLink(node.uid, name);
  // A press on the name, or on what is no control, opens the value.
  const press = (event: MouseEvent & { currentTarget: Element }) => {
    const it = event.target as Element;
    if (it.closest("a, button") || !it.closest(/^(number|text)/.test(kind) ? ".row" : ".label") || !getSelection()?.isCollapsed) return;
    event.currentTarget.querySelector("a")?.focus(); // it gets the focus back
    link.onClick(event);
  };
  const isOpen = openNode.value === node.uid && openValue.value === name;
  return (
    <div class={`row ${kind}`} data-resource={name} data-on={on} onClick={press}>
      <KindIcon resource={resource} />
      <span class="label">
        <a class="name" data-tip={title === name ? "" : `${title}\n${visible(name)}`} aria-current={isOpen && "page"} {...link}>
          {title}
        </a>
        <NoteLine resource={resource} />
        {mayBeSet(resource) && (
          <button type="button" class="link set" aria-label={t("control.of", { what: t("control.set_any"), name: nameOf(resource) })} onClick={() => (setting.value = resource)}>
            {t("control.set_any")}
          </button>
        )}
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

/** The name of a vector of an inertial sensor: that of `acc` is "Acceleration". */
export const vectorName = (type: string): string => visible(translate(`imu.${type}`).replace("imu.", ""));

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

/** The digits of a number, rounded, in short form if they are long; then all of them on hover. */
export function Digits({ resource }: { resource: Resource }) {
  const short = useComputed(() => (void triggerOf(resource).value, localDigits(shortDigits(resource.digits, resource.type.precision))));
  const all = useComputed(() => (void triggerOf(resource).value, localDigits(resource.digits)));
  const isCut = useComputed(() => /[≈×]/.test(short.value));
  const size = useComputed(() => (short.value.length > SMALL ? "small" : undefined));
  const tip = useComputed(() => (short.value === all.value ? undefined : all.value));
  // The short form is imprecise, so the keyboard reaches all digits, too.
  if (isCut.value)
    return (
      <span class="digits" data-size="small" data-tip={all} aria-label={all} role="img" tabIndex={0}>
        {short}
      </span>
    );
  return (
    <span class="digits" data-size={size} data-tip={tip}>
      {short}
    </span>
  );
}

/** How long a sparkline waits in a scrolled list before it requests its history. */
const REST_MS = 700;

let loading: Promise<typeof import("../sparklineHistory")> | undefined;

export function Spark({ resource, waits = false }: { resource: Resource; waits?: boolean }) {
  const ref = useRef<SVGSVGElement>(null);
  useEffect(() => {
    const svg = ref.current;
    if (!svg) return;
    let recalled = !mayHaveApi() || waits;
    const draw = () => {
      if (!resource.ring) return;
      drawLines(svg, [resource.ring], resource.unit, !state.live || !!resource.node.left);
      if (recalled || !resource.node.visible) return;
      recalled = true;
      // After a lost connection, the sparkline starts again.
      (loading ??= import("../sparklineHistory")).then(({ prependHistory }) => prependHistory(resource, draw)).catch(() => undefined);
    };
    let stop = () => {};
    const begin = () => (stop = onSample(resource, draw, true));
    const cancel = waits ? atRest(begin) : begin();
    const timer = setTimeout(() => {
      if (!waits) return;
      recalled = !mayHaveApi();
      atRest(draw);
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      cancel();
      stop();
    };
  }, [resource]);
  return <svg ref={ref} class="spark" viewBox={waits ? "0 0 64 24" : "0 0 64 34"} preserveAspectRatio="none" aria-hidden="true" />;
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
