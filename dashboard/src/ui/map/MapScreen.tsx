// SPDX-License-Identifier: BSD-3-Clause
/** The map with the list of its nodes. Outlines and floor plans need no internet; tiles only if configured. */
import { signal, useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { config } from "../../config";
import { isAdmin, mayEdit } from "../../info";
import { normal } from "../../model/geo";
import { natural } from "../../model/order";
import { withTerm } from "../../model/query";
import { placeOf, type Node } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { jumps } from "../../past";
import { navigate, query } from "../../route";
import { hovered, membership, past, second, shown, toast, triggerOf } from "../../store";
import { colours } from "../colours";
import { formatNumber, t } from "../../i18n";
import { mt, type MapKey } from "../../i18n/map";
import { moveNode } from "./moves";
import { look, nodesToPlace, roomOfSearch, stateText } from "./nodes";
import { degrees, NodeMap, type Label } from "./NodeMap";
import { nodesIn, planOf, PlanPlace } from "./Plan";
import { plans, readPlans, spotNode } from "./plans";
import { Tracks, TRACKS_MAX } from "./tracks";
import "../../more.css";
import "../../map.css";

const SPANS = [0, 3600, 21_600, 86_400] as const;
const DIGITS = 5;
const HINT_MS = 1500;

/** Seconds of the tracks. */
const span = signal<number>(SPANS[1]);
/** Nodes can be dragged. */
const moving = signal(false);
/** A room without a floor plan, which an administrator chose to give it one. */
const planless = signal("");

const located = (): Node[] => nodesToPlace().filter((node) => placeOf(node) !== null);
const unplaced = (): Node[] => nodesToPlace().filter((node) => placeOf(node) === null && node.registered !== null);

export const lengthText = (metres: number): string => (metres < 1000 ? `${formatNumber(metres)}\u00a0m` : `${formatNumber(metres / 1000)}\u00a0km`);

const coordinates = (lat: number, lng: number): string => `${degrees(lat, "NS", DIGITS)}  ${degrees(normal(lng), "EW", DIGITS)}`;

/** Rooms with a plan; for those who may add one, all rooms of nodes. */
function roomsToShow(): string[] {
  const withPlan = (plans.value ?? []).map((it) => it.room);
  const others = isAdmin.value && plans.value ? shown.value.map(({ registered }) => registered?.room ?? "") : [];
  return [...new Set([...withPlan, ...others])].filter(Boolean).sort(natural);
}

/** A room with a plan is a term of the search, so that URLs and saved views have it; an empty name: the map. */
function chooseRoom(name: string): void {
  planless.value = planOf(name) ? "" : name;
  navigate({ query: withTerm(query.peek(), "room", planOf(name) ? name : "") });
}

export function MapScreen() {
  void membership.value;
  useEffect(() => void readPlans(), []);
  const map = useRef<NodeMap | null>(null);
  const rooms = roomsToShow();
  const its = roomOfSearch() || (rooms.includes(planless.value) ? planless.value : "");
  const isMoving = moving.value && mayEdit.value;
  const tools = (
    <>
      {rooms.length > 0 && (
        <label class="map-select first">
          <span class="visually-hidden">{mt("choose")}</span>
          <select class="input" value={its} onChange={(event) => chooseRoom(event.currentTarget.value)}>
            <option value="" selected={!its}>
              {mt("world")}
            </option>
            <optgroup label={mt("plans")}>
              {rooms.map((name) => (
                <option key={name} value={name} selected={name === its}>
                  {visible(name)}
                </option>
              ))}
            </optgroup>
          </select>
        </label>
      )}
      {mayEdit.value && (!its || planOf(its)) && (
        <button type="button" class="wide" aria-pressed={isMoving} onClick={() => (moving.value = !moving.peek())}>
          {mt(isMoving ? "move.done" : "move")}
        </button>
      )}
    </>
  );
  return (
    <section class="map-screen">
      <h2 class="visually-hidden">{t("map.title")}</h2>
      {its ? (
        <PlanPlace key={its} room={its} moving={isMoving}>
          {tools}
        </PlanPlace>
      ) : (
        <MapPlace isWhole its={map}>
          {tools}
        </MapPlace>
      )}
      {its ? <PlanList its={its} isMoving={isMoving} /> : <MapList map={map} isMoving={isMoving} />}
    </section>
  );
}

function MapList({ map, isMoving }: { map: { current: NodeMap | null }; isMoving: boolean }) {
  void membership.value;
  const nodes = located();
  const others = isMoving ? unplaced() : [];
  const put = (node: Node) => {
    const it = map.current;
    if (!it) return;
    const { lat, lng } = it.map.getCenter();
    void moveNode(node, { lat: Number(lat.toFixed(DIGITS + 1)), lng: Number(normal(lng).toFixed(DIGITS + 1)) }).then((isPut) => isPut && it.focus(node));
  };
  return (
    <aside aria-label={t("map.nodes")}>
      {isMoving && <Hint />}
      {nodes.length === 0 && others.length === 0 && (
        <div class="empty">
          <h3>{mt("no_place")}</h3>
          <p>{mt("no_place_more")}</p>
        </div>
      )}
      <ul>
        {nodes.map((node) => (
          <Place key={node.uid} node={node} />
        ))}
      </ul>
      {others.length > 0 && <h3>{mt("without")}</h3>}
      <ul>
        {others.map((node) => (
          <Unplaced key={node.uid} node={node} put={() => put(node)} />
        ))}
      </ul>
    </aside>
  );
}

function PlanList({ its, isMoving }: { its: string; isMoving: boolean }) {
  void membership.value;
  const plan = planOf(its);
  const nodes = nodesIn(its);
  const placed = nodes.filter(({ uid }) => plan?.places[uid]);
  const others = nodes.filter(({ uid }) => !plan?.places[uid]);
  return (
    <aside aria-label={mt("plan.nodes", { room: quote(its) })}>
      {isMoving && plan && <Hint />}
      <ul>
        {placed.map((node) => (
          <Place key={node.uid} node={node} isShort off={isMoving ? () => void spotNode(node, its, undefined) : undefined} />
        ))}
      </ul>
      {others.length > 0 && plan && <h3>{mt("plan.without")}</h3>}
      <ul>
        {others.map((node) => (isMoving && plan ? <Unplaced key={node.uid} node={node} put={() => void spotNode(node, its, { x: 0.5, y: 0.5 })} /> : <Place key={node.uid} node={node} isShort />))}
      </ul>
    </aside>
  );
}

function Hint() {
  return (
    <p class="hint" role="status">
      {mt("move.hint")}
    </p>
  );
}

function Unplaced({ node, put }: { node: Node; put: () => void }) {
  return (
    <li class="unplaced">
      <span>{nodeTitle(node)}</span>
      <button type="button" class="button small" aria-label={mt("put", { name: quote(nodeTitle(node)) })} onClick={put}>
        {mt("put.short")}
      </button>
    </li>
  );
}

/** `isShort`: without coordinates. `off`: takes it off the plan. */
function Place({ node, isShort = false, off }: { node: Node; isShort?: boolean; off?: () => void }) {
  void triggerOf(node).value;
  const text = useComputed(() => {
    void second.value;
    const at = placeOf(node);
    return [at && !isShort ? coordinates(at.lat, at.lng) : "", visible(stateText(node))].filter(Boolean).join(" · ");
  });
  return (
    <li class={off && "unplaced"}>
      <button
        type="button"
        class="place"
        data-look={look(node)}
        data-over={hovered.value === node}
        onMouseEnter={() => (hovered.value = node)}
        onMouseLeave={() => (hovered.value = null)}
        onFocus={() => (hovered.value = node)}
        onBlur={() => (hovered.value = null)}
        onClick={() => navigate({ node: node.uid })}
      >
        <span>{nodeTitle(node)}</span>
        <span class="soft">{text}</span>
      </button>
      {off && (
        <button type="button" class="button small" aria-label={mt("plan.off.of", { name: quote(nodeTitle(node)) })} onClick={off}>
          {mt("plan.off")}
        </button>
      )}
    </li>
  );
}

export function MapCard() {
  return (
    <>
      <div class="head">
        <h3>{t("map.title")}</h3>
      </div>
      <MapPlace />
    </>
  );
}

interface View {
  metres: number;
  pixels: number;
  cell: number;
  labels: Label[];
  at: string;
}

function MapPlace({ isWhole = false, its, children }: { isWhole?: boolean; its?: { current: NodeMap | null }; children?: ComponentChildren }) {
  const place = useRef<HTMLDivElement>(null);
  const map = useRef<NodeMap | null>(null);
  const tracks = useRef(new Tracks());
  const view = useSignal<View>({ metres: 0, pixels: 0, cell: 0, labels: [], at: "" });
  const pointer = useSignal("");
  /** The wheel was turned over a map within the page, which scrolls the page. */
  const turned = useSignal(false);
  useEffect(() => {
    if (!place.current) return;
    let hiding: ReturnType<typeof setTimeout> | undefined;
    const it = new NodeMap(place.current, {
      wheel: isWhole
        ? undefined
        : () => {
            turned.value = true;
            clearTimeout(hiding);
            hiding = setTimeout(() => (turned.value = false), HINT_MS);
          },
      hover: (node) => (hovered.value = node),
      open: (node) => navigate({ node: node.uid }),
      move: moveNode,
      refuse: (node) => (toast.value = { text: mt("move.reports", { name: quote(nodeTitle(node)) }) }),
    });
    map.current = it;
    if (its) its.current = it;
    const measure = () => {
      const { lat, lng } = it.map.getCenter();
      const { metres: cell, labels } = it.labels();
      view.value = { ...it.scale(), cell, labels, at: coordinates(lat, lng) };
    };
    it.map.on("zoomend move moveend resize viewreset", measure);
    it.map.on("mousemove", ({ latlng }) => (pointer.value = coordinates(latlng.lat, latlng.lng)));
    it.map.on("mouseout", () => (pointer.value = ""));
    const watch = new ResizeObserver(() => {
      it.map.invalidateSize({ pan: false });
      it.drawGrid();
      measure();
    });
    watch.observe(place.current);
    const following = tracks.current;
    return () => {
      clearTimeout(hiding);
      following.stop();
      watch.disconnect();
      it.map.remove();
      map.current = null;
      if (its) its.current = null;
    };
  }, []);
  void second.value;
  void membership.value;
  const { line } = colours.value;
  const nodes = located();
  const marked = hovered.value;
  const isMoving = isWhole && moving.value && mayEdit.value;
  const moment = past.value ? jumps.value : 0;
  const names = nodes.filter(({ position }) => position !== null).slice(0, TRACKS_MAX).map(({ uid }) => uid);
  const drawTracks = () => map.current?.drawTracks(tracks.current.of(located()), span.peek());
  useEffect(() => {
    map.current?.colour();
    drawTracks();
  }, [line]);
  useEffect(() => void tracks.current.read(located(), span.value, drawTracks), [span.value, moment, past.value > 0, names.join("\n")]);
  useEffect(() => {
    map.current?.draw(nodes, marked, isMoving);
    if (tracks.current.add(nodes, span.peek())) drawTracks();
  });
  const { metres, pixels, cell, labels, at } = view.value;
  const movers = nodes.filter(({ position }) => position !== null).length;
  return (
    <div class="map-place" data-moving={isMoving}>
      <div ref={place} class="map" aria-label={mt("region")} role="region" tabIndex={0} />
      <div class="map-labels" aria-hidden="true">
        {labels.map(({ text, isRow, at: offset }) => (
          <span key={`${isRow} ${text}`} data-row={isRow} style={isRow ? { top: `${offset}px` } : { left: `${offset}px` }}>
            {text}
          </span>
        ))}
      </div>
      <div class="map-buttons">
        {children}
        {isWhole && movers > 0 && (
          <label class="map-select">
            <span>{mt("tracks")}</span>
            <select class="input" value={span.value} title={movers > TRACKS_MAX ? mt("tracks.most", { n: TRACKS_MAX }) : undefined} onChange={(event) => (span.value = Number(event.currentTarget.value))}>
              {SPANS.map((seconds) => (
                <option key={seconds} value={seconds}>
                  {mt(`tracks.${seconds}` as MapKey)}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <div class="map-zoom">
        <button type="button" aria-label={t("map.in")} title={t("map.in")} onClick={() => map.current?.map.zoomIn()}>
          +
        </button>
        <button type="button" aria-label={t("map.out")} title={t("map.out")} onClick={() => map.current?.map.zoomOut()}>
          −
        </button>
        <button type="button" aria-label={t("map.fit")} title={t("map.fit")} onClick={() => map.current?.fit()}>
          <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
            <path d="M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4" />
          </svg>
        </button>
      </div>
      {turned.value && <p class="map-hint">{mt("wheel")}</p>}
      <div class="map-foot">
        <span class="map-source">{config.tiles ? new URL(config.tiles.replace("{s}.", "")).host : t("map.land")}</span>
        {isWhole && <span class="map-at" title={mt("at")}>{pointer.value || at}</span>}
        {cell > 0 && <span class="map-cell">{mt("grid", { length: lengthText(cell) })}</span>}
        {metres > 0 && (
          <span class="map-scale" title={mt("scale", { length: lengthText(metres) })} style={{ width: `${pixels}px` }}>
            {lengthText(metres)}
          </span>
        )}
      </div>
    </div>
  );
}
