// SPDX-License-Identifier: BSD-3-Clause
/** The floor plan of a room with its nodes, which are dragged to their places. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { isAdmin } from "../../info";
import { withTerm } from "../../model/query";
import type { Node } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { navigate, query } from "../../route";
import { hovered, question, second } from "../../store";
import { t } from "../../i18n";
import { mt } from "../../i18n/map";
import { look, nodesToPlace, stateText } from "./nodes";
import { imageUrl, plans, readPlans, removePlan, spotNode, upload, type Plan, type Spot } from "./plans";

const READ_MS = 10_000;
const ZOOMS = [1, 1.5, 2, 3, 4] as const;
const STEP = 0.01;
const SMALL_STEP = 0.002;
const ARROWS: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TYPES = "image/png,image/jpeg,image/webp";

const within = (share: number): number => Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000;

export const nodesIn = (room: string): Node[] => nodesToPlace().filter(({ registered }) => registered?.room === room);

export const planOf = (room: string): Plan | undefined => plans.value?.find((it) => it.room === room);

interface Properties {
  room: string;
  moving: boolean;
  /** What chooses the map or a plan, and what turns moving on. */
  children: ComponentChildren;
}

export function PlanPlace({ room, moving, children }: Properties) {
  void second.value;
  const zoom = useSignal(0);
  const isBroken = useSignal("");
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && void readPlans(), READ_MS);
    return () => clearInterval(timer);
  }, []);
  const plan = planOf(room);
  if (!plan) return <NoPlan room={room}>{children}</NoPlan>;
  const nodes = nodesIn(room).filter(({ uid }) => plan.places[uid]);
  const remove = () => (question.value = { title: mt("plan.remove.ask", { room: quote(room) }), text: mt("plan.remove.text"), action: mt("plan.remove"), act: () => void removePlan(room) });
  return (
    <div class="map-place plan-place" data-moving={moving}>
      <div class="map plan-scroll" role="region" aria-label={mt("plan.of", { room: quote(room) })} tabIndex={0}>
        <div class="plan-sheet" style={{ aspectRatio: `${plan.width} / ${plan.height}`, "--ratio": plan.width / plan.height, "--zoom": ZOOMS[zoom.value] }}>
          <img src={imageUrl(plan)} crossOrigin="anonymous" alt={mt("plan.of", { room: quote(room) })} draggable={false} onError={() => (isBroken.value = plan.image)} />
          {isBroken.value === plan.image && <p class="wait">{mt("plan.failed")}</p>}
          {nodes.map((node) => (
            <PlanNode key={node.uid} node={node} room={room} at={plan.places[node.uid]} moving={moving} />
          ))}
        </div>
      </div>
      <div class="map-buttons">
        {children}
        {isAdmin.value && moving && (
          <>
            <Upload room={room} label={mt("plan.replace")} />
            <button type="button" class="wide" onClick={remove}>
              {mt("plan.remove")}
            </button>
          </>
        )}
        <button type="button" aria-label={t("map.in")} title={t("map.in")} disabled={zoom.value === ZOOMS.length - 1} onClick={() => (zoom.value += 1)}>
          +
        </button>
        <button type="button" aria-label={t("map.out")} title={t("map.out")} disabled={zoom.value === 0} onClick={() => (zoom.value -= 1)}>
          −
        </button>
      </div>
    </div>
  );
}

function NoPlan({ room, children }: { room: string; children: ComponentChildren }) {
  return (
    <div class="map-place plan-place">
      <div class="map plan-none">
        <h3>{mt("plan.none", { room: quote(room) })}</h3>
        <p>{mt(isAdmin.value ? "plan.none_admin" : "plan.none_other")}</p>
        {isAdmin.value && <Upload room={room} label={mt("plan.upload")} />}
      </div>
      <div class="map-buttons">{children}</div>
    </div>
  );
}

function Upload({ room, label }: { room: string; label: string }) {
  const busy = useSignal(false);
  const chosen = async (input: HTMLInputElement) => {
    const file = input.files?.[0];
    input.value = "";
    if (!file) return;
    busy.value = true;
    if (await upload(room, file)) navigate({ query: withTerm(query.peek(), "room", room) }, true);
    busy.value = false;
  };
  return (
    <label class="button plan-upload" aria-busy={busy.value}>
      <input type="file" accept={TYPES} disabled={busy.value} onChange={(event) => void chosen(event.currentTarget)} />
      <span>{label}</span>
    </label>
  );
}

function PlanNode({ node, room, at, moving }: { node: Node; room: string; at: Spot; moving: boolean }) {
  const draft = useSignal<Spot | null>(null);
  const isDragged = useRef(false);
  const place = draft.value ?? at;
  const how = stateText(node);
  const save = async () => {
    const to = draft.peek();
    if (!to || (to.x === at.x && to.y === at.y)) return void (draft.value = null);
    await spotNode(node, room, to);
    if (draft.peek() === to) draft.value = null;
  };
  const spotOf = (event: PointerEvent): Spot | null => {
    const sheet = (event.currentTarget as HTMLElement).closest(".plan-sheet")?.getBoundingClientRect();
    return sheet ? { x: within((event.clientX - sheet.left) / sheet.width), y: within((event.clientY - sheet.top) / sheet.height) } : null;
  };
  const key = (event: KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    if (!moving || (!arrow && !draft.peek()) || (!arrow && event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.shiftKey ? SMALL_STEP : STEP;
    const from = draft.peek() ?? at;
    if (arrow) draft.value = { x: within(from.x + arrow[0] * step), y: within(from.y + arrow[1] * step) };
    else if (event.key === "Enter") void save();
    else draft.value = null;
  };
  const title = nodeTitle(node);
  return (
    <button
      type="button"
      class="map-node plan-node"
      data-uid={node.uid}
      data-state={look(node)}
      data-over={hovered.value === node}
      style={{ left: `${place.x * 100}%`, top: `${place.y * 100}%`, "--x": place.x }}
      onClick={() => !moving && navigate({ node: node.uid })}
      onPointerEnter={() => (hovered.value = node)}
      onPointerLeave={() => (hovered.value = null)}
      onPointerDown={(event) => {
        if (!moving) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        isDragged.current = true;
      }}
      onPointerMove={(event) => isDragged.current && (draft.value = spotOf(event))}
      onPointerUp={() => {
        if (!isDragged.current) return;
        isDragged.current = false;
        void save();
      }}
      onPointerCancel={() => {
        isDragged.current = false;
        draft.value = null;
      }}
      onKeyDown={key}
      onBlur={() => !isDragged.current && void save()}
    >
      <span class="plan-name">{title}</span>
      {how && <span class={look(node) === "off" ? "plan-since" : "visually-hidden"}>{how}</span>}
    </button>
  );
}
