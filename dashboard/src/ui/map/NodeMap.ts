// SPDX-License-Identifier: BSD-3-Clause
/** The map itself: outlines, grid, tracks, and nodes, which become clusters where they are dense. */
import * as L from "leaflet";
import "leaflet/dist/leaflet.css";
import { config } from "../../config";
import { boxAround, clustersOf, fan, gridOf, LATITUDE_MAX, nearTo, normal, partsOf, scaleOf, type Box, type Cluster, type Grid, type TrackPoint } from "../../model/geo";
import type { Position } from "../../model/readings";
import { placeOf, type Node } from "../../model/state";
import { nodeTitle } from "../../model/text";
import { formatNumber, localDigits } from "../../i18n";
import { mt } from "../../i18n/map";
import { look, stateText } from "./nodes";
import { addOutlines, CanvasOfMap, themed } from "./outlineLayer";

export const ZOOM_MAX = 21;
/** With more nodes on the screen, names would cover the map; then only the name under the pointer is shown. */
const NAMES_MAX = 30;
/** Nodes nearer than this are one cluster. */
const CLUSTER_PX = 44;
/** Nodes of one place that open around it; further ones are in the list only. */
const FAN_MAX = 60;
const FAN_PX = 34;
const NAMES_IN_CLUSTER = 3;
/** Zoom at a single node on a map of outlines only: its surroundings are visible. */
const ALONE_ZOOM = 5;
/** On land and on water, in both themes. */
const GRID_OPACITY = 0.28;
/** Room for the buttons on the right, and for half a node at the other edges. */
const BUTTONS_PX = 56;
const HALF_PX = 28;
const STEP_PX = 10;
/** The message about an edit may come after the answer to it. */
const SETTLE_MS = 1500;
/** Between two points of a track that are joined, in seconds; or this share of its range. */
const GAP_S = 900;
const GAP_SHARE = 1 / 24;
/** Of a smaller track, the start is not marked. */
const START_PX = 16;
const ARROWS: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Labels nearer to the edge are left out. */
const LABEL_ROOM = 28;

export interface Label {
  text: string;
  isRow: boolean;
  at: number;
}

export interface Listener {
  /** Given: the map is a part of a page that scrolls. Then the wheel and one finger are the page's, and this is called. */
  wheel?: () => void;
  hover: (node: Node | null) => void;
  open: (node: Node) => void;
  /** Save a place; false: it is refused. */
  move: (node: Node, to: Position) => Promise<boolean>;
  refuse: (node: Node) => void;
}

interface Mark {
  marker: L.Marker;
  button: HTMLButtonElement;
  nodes: Node[];
}

export class NodeMap {
  readonly map: L.Map;
  private readonly grid = L.layerGroup();
  private readonly tracks = L.layerGroup();
  private readonly legs = L.layerGroup();
  private readonly marks = new Map<string, Mark>();
  private readonly recolour: () => void;
  private nodes: Node[] = [];
  private over: Node | null = null;
  private fitted = false;
  /** Somebody has moved the map: it stays where it is. */
  private touched = false;
  private trackPoints = new Map<string, readonly TrackPoint[]>();
  private moving = false;
  private fanned = "";
  private drags = "";
  /** Places that the registry does not have yet. */
  private readonly drafts = new Map<string, Position>();
  /** The node that the keyboard moves. */
  private unsaved = "";
  private shownGrid: Grid = { metres: 0, lats: [], lngs: [], digits: 0 };

  constructor(
    place: HTMLElement,
    private readonly on: Listener,
  ) {
    // Leaflet's own controls are made of markup, which the content security policy refuses.
    this.map = L.map(place, { zoomControl: false, attributionControl: false, renderer: new CanvasOfMap(), minZoom: 1, maxZoom: ZOOM_MAX, worldCopyJump: true, zoomSnap: 0.5, zoomDelta: 1, dragging: !(on.wheel && matchMedia("(pointer: coarse)").matches) });
    if (on.wheel) place.addEventListener("wheel", (event) => this.leaveWheel(event), { capture: true });
    this.map.setView([25, 5], 1.5);
    this.recolour = addOutlines(this.map);
    for (const layer of [this.grid, this.tracks, this.legs]) layer.addTo(this.map);
    for (const name of ["pointerdown", "wheel", "keydown"]) place.addEventListener(name, () => (this.touched = true), { passive: true });
    this.map.on("moveend", () => this.redraw());
    this.map.on("zoomstart click", () => {
      if (this.fanned) {
        this.fanned = "";
        this.redraw();
      }
    });
  }

  /** Only with Ctrl does the wheel zoom. */
  private leaveWheel(event: WheelEvent): void {
    if (event.ctrlKey || event.metaKey) return;
    event.stopImmediatePropagation();
    this.on.wheel?.();
  }

  colour(): void {
    this.recolour();
    this.drawGrid();
  }

  /** Lines at round degrees or metres. Zoomed in, outlines alone would show nothing that moves. */
  drawGrid(): void {
    this.grid.clearLayers();
    if (!this.map.getSize().x) return;
    // More than is visible: the map is dragged before it is drawn again.
    const bounds = this.map.getBounds().pad(0.5);
    const box = { south: bounds.getSouth(), west: bounds.getWest(), north: bounds.getNorth(), east: bounds.getEast() };
    this.shownGrid = gridOf(box, this.map.getZoom());
    if (config.tiles || config.floorPlan) return;
    const { lats, lngs } = this.shownGrid;
    const color = themed("--soft");
    const line = (from: L.LatLngTuple, to: L.LatLngTuple) => L.polyline([from, to], { color, weight: 1, opacity: GRID_OPACITY, interactive: false }).addTo(this.grid);
    const [south, north] = [Math.max(-LATITUDE_MAX, box.south), Math.min(LATITUDE_MAX, box.north)];
    for (const lng of lngs) line([south, lng], [north, lng]);
    for (const lat of lats) line([lat, box.west], [lat, box.east]);
  }

  /** Show these nodes where they are now. `moving`: they can be dragged. */
  draw(nodes: Node[], over: Node | null, moving: boolean): void {
    this.nodes = nodes;
    this.over = over;
    if (moving !== this.moving) this.clear();
    this.moving = moving;
    if (!this.fitted && nodes.length) this.fit();
    this.drawMarks();
  }

  drawTracks(tracks: ReadonlyMap<string, readonly TrackPoint[]>, span: number): void {
    this.tracks.clearLayers();
    const isNew = tracks.size > this.trackPoints.size;
    this.trackPoints = new Map(tracks);
    if (isNew && !this.touched) this.fit();
    const { lng: centre } = this.map.getCenter();
    const color = themed("--spark");
    for (const track of tracks.values())
      for (const part of partsOf(track, Math.max(GAP_S, span * GAP_SHARE))) {
        const by = nearTo(part[part.length - 1].lng, centre) - part[part.length - 1].lng;
        const line = part.map(({ lat, lng }): L.LatLngTuple => [lat, lng + by]);
        L.polyline(line, { color, weight: 3, opacity: 0.65, interactive: false, className: "map-track" }).addTo(this.tracks);
        const box = L.latLngBounds(line);
        if (this.map.project(box.getNorthEast()).distanceTo(this.map.project(box.getSouthWest())) < START_PX) continue;
        L.circleMarker(line[0], { radius: 3, color, weight: 2, fillOpacity: 1, fillColor: themed("--card"), interactive: false }).addTo(this.tracks);
      }
  }

  fit(): void {
    const places = this.nodes.flatMap((node) => [this.placeOf(node) ?? [], this.trackPoints.get(node.uid) ?? []].flat());
    const box = boxAround(places);
    if (!box) return;
    this.fitted = true;
    const isOne = box.south === box.north && box.west === box.east;
    const above = this.map.getContainer().parentElement?.querySelector(".map-buttons")?.clientHeight ?? 0;
    const maxZoom = isOne && !config.tiles && !config.floorPlan ? ALONE_ZOOM : 18;
    this.map.fitBounds(boundsOf(box).pad(0.15), { maxZoom, animate: false, paddingTopLeft: [HALF_PX, HALF_PX + above], paddingBottomRight: [BUTTONS_PX, HALF_PX] });
  }

  /** Metres of a cell of the grid, 0: its lines are at round degrees; and the labels of the lines, in pixels of the map. */
  labels(): { metres: number; labels: Label[] } {
    const { metres, lats, lngs, digits } = this.shownGrid;
    if (config.tiles || config.floorPlan || !this.map.getSize().x) return { metres: 0, labels: [] };
    const { x: width, y: height } = this.map.getSize();
    const centre = this.map.getCenter();
    const rows = lats.map((lat) => ({ text: degrees(lat, "NS", digits), isRow: true, at: this.map.latLngToContainerPoint([lat, centre.lng]).y })).filter(({ at }) => at > LABEL_ROOM && at < height - 2.4 * LABEL_ROOM);
    const columns = lngs.map((lng) => ({ text: degrees(normal(lng), "EW", digits), isRow: false, at: this.map.latLngToContainerPoint([centre.lat, lng]).x })).filter(({ at }) => at > 2 * LABEL_ROOM && at < width - 2 * LABEL_ROOM);
    return { metres, labels: [...rows, ...columns] };
  }

  /** A round distance and how many pixels it has at the middle of the map. */
  scale(): { metres: number; pixels: number } {
    return scaleOf(this.map.getCenter().lat, this.map.getZoom(), 110);
  }

  /** Go to a node, so that the keyboard moves it. */
  focus(node: Node): void {
    requestAnimationFrame(() => this.marks.get(`n ${node.uid}`)?.button.focus());
  }

  private placeOf(node: Node): Position | null {
    return this.drafts.get(node.uid) ?? placeOf(node);
  }

  private clear(): void {
    for (const { marker } of this.marks.values()) marker.remove();
    this.marks.clear();
  }

  private redraw(): void {
    this.drawGrid();
    this.drawMarks();
  }

  private drawMarks(): void {
    if (!this.map.getSize().x) return;
    const zoom = this.map.getZoom();
    const { lng: centre } = this.map.getCenter();
    const points = [];
    const loose: Cluster<Node>[] = [];
    for (const node of this.nodes) {
      const at = this.placeOf(node);
      if (!at) continue;
      const { x, y } = this.map.project([at.lat, nearTo(at.lng, centre)], zoom);
      if (this.drafts.has(node.uid) || this.drags === node.uid) loose.push({ items: [node], x, y });
      else points.push({ item: node, x, y });
    }
    const view = this.map.getPixelBounds();
    const [least, most] = [view.min!.subtract([CLUSTER_PX, CLUSTER_PX]), view.max!.add([CLUSTER_PX, CLUSTER_PX])];
    const seen = [...clustersOf(points, CLUSTER_PX), ...loose].filter(({ x, y }) => x >= least.x && x <= most.x && y >= least.y && y <= most.y);
    this.legs.clearLayers();
    const isNamed = seen.length <= NAMES_MAX;
    const kept = new Set<string>();
    const show = (key: string, nodes: Node[], x: number, y: number) => {
      kept.add(key);
      this.mark(key, nodes, this.map.unproject([x, y], zoom), isNamed);
    };
    for (const { items, x, y } of seen) {
      const key = items.length > 1 ? `c ${items[0].uid}` : `n ${items[0].uid}`;
      if (key !== this.fanned) {
        show(key, items, x, y);
        continue;
      }
      const from = this.map.unproject([x, y], zoom);
      fan(Math.min(FAN_MAX, items.length), FAN_PX).forEach((by, index) => {
        const to = this.map.unproject([x + by.x, y + by.y], zoom);
        L.polyline([from, to], { color: themed("--soft"), weight: 1, interactive: false }).addTo(this.legs);
        show(`n ${items[index].uid}`, [items[index]], x + by.x, y + by.y);
      });
    }
    for (const [key, { marker }] of this.marks)
      if (!kept.has(key)) {
        marker.remove();
        this.marks.delete(key);
      }
  }

  private mark(key: string, nodes: Node[], at: L.LatLng, isNamed: boolean): void {
    let mark = this.marks.get(key);
    if (!mark) this.marks.set(key, (mark = nodes.length > 1 ? this.newCluster(key, at) : this.newNode(nodes[0], at)));
    mark.nodes = nodes;
    if (this.drags !== nodes[0].uid && !mark.marker.getLatLng().equals(at, 1e-9)) mark.marker.setLatLng(at);
    const { button, marker } = mark;
    const isOver = this.over !== null && nodes.includes(this.over);
    button.dataset.over = String(isOver);
    marker.setZIndexOffset(isOver ? 1000 : 0);
    const looks = new Set(nodes.map(look));
    button.dataset.state = looks.has("warn") ? "warn" : looks.has("good") ? "good" : "off";
    if (nodes.length > 1) {
      const text = localDigits(formatNumber(nodes.length));
      if (button.textContent !== text) button.textContent = text;
      const names = nodes.slice(0, NAMES_IN_CLUSTER).map(nodeTitle).join(", ");
      const more = nodes.length - NAMES_IN_CLUSTER;
      const label = mt("cluster", { n: text, names: more > 0 ? mt("cluster.more", { names, n: formatNumber(more) }) : names });
      if (button.title !== label) button.title = label;
      button.dataset.size = nodes.length >= 100 ? "large" : nodes.length >= 10 ? "middle" : "small";
      return;
    }
    button.dataset.fixed = String(this.moving && nodes[0].position !== null);
    const title = [nodeTitle(nodes[0]), look(nodes[0]) === "off" && stateText(nodes[0])].filter(Boolean).join("\n");
    if (button.ariaLabel !== title) button.ariaLabel = title;
    const isPermanent = isNamed || isOver;
    const tip = marker.getTooltip();
    if (Boolean(tip) !== isPermanent) {
      if (tip) marker.unbindTooltip();
      else marker.bindTooltip(document.createElement("span"), { permanent: true, direction: "top", offset: [0, -10] });
    }
    const label = marker.getTooltip()?.getContent();
    if (label instanceof HTMLElement && label.textContent !== title) {
      const text = document.createElement("span");
      text.textContent = title; // text of a device is never markup
      marker.setTooltipContent(text);
    }
  }

  private newMark(at: L.LatLng, className: string, draggable: boolean): Mark {
    const button = document.createElement("button");
    button.type = "button";
    button.className = className;
    const icon = L.divIcon({ className: "map-mark", html: button, iconSize: [44, 44], iconAnchor: [22, 22] });
    const marker = L.marker(at, { icon, keyboard: false, draggable, autoPanOnFocus: false }).addTo(this.map);
    return { marker, button, nodes: [] };
  }

  private newCluster(key: string, at: L.LatLng): Mark {
    const mark = this.newMark(at, "map-cluster", false);
    mark.button.addEventListener("click", (event) => {
      event.stopPropagation();
      this.openCluster(key, mark.nodes);
    });
    return mark;
  }

  private openCluster(key: string, nodes: Node[]): void {
    const box = boxAround(nodes.flatMap((node) => this.placeOf(node) ?? []));
    if (!box) return;
    const size = this.map.project([box.north, box.east], ZOOM_MAX).distanceTo(this.map.project([box.south, box.west], ZOOM_MAX));
    if (size < CLUSTER_PX) {
      this.fanned = this.fanned === key ? "" : key;
      this.drawMarks();
      this.focus(nodes[0]);
      return;
    }
    const before = this.map.getZoom();
    const bounds = boundsOf(box).pad(0.1);
    const zoom = Math.min(ZOOM_MAX, Math.max(before + 1, this.map.getBoundsZoom(bounds)));
    const { lat, lng } = bounds.getCenter();
    this.map.setView([lat, nearTo(lng, this.map.getCenter().lng)], zoom);
    this.map.getContainer().focus({ preventScroll: true });
  }

  private newNode(node: Node, at: L.LatLng): Mark {
    const isMovable = this.moving && node.position === null;
    const mark = this.newMark(at, "map-node", isMovable);
    const { button, marker } = mark;
    button.dataset.uid = node.uid;
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      if (!this.moving) this.on.open(node);
      else if (!isMovable) this.on.refuse(node);
    });
    for (const name of ["pointerenter", "focus"]) button.addEventListener(name, () => this.on.hover(node));
    for (const name of ["pointerleave", "blur"]) button.addEventListener(name, () => this.on.hover(null));
    if (!isMovable) return mark;
    marker.on("dragstart", () => (this.drags = node.uid));
    marker.on("dragend", () => {
      this.drags = "";
      this.save(node, marker.getLatLng());
    });
    const end = (isSaved: boolean) => {
      const draft = this.drafts.get(node.uid);
      if (this.unsaved !== node.uid || !draft) return;
      this.unsaved = "";
      if (isSaved) return this.save(node, L.latLng(draft.lat, draft.lng));
      this.drafts.delete(node.uid);
      this.drawMarks();
    };
    button.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      const isEnd = event.key === "Enter" || event.key === "Escape";
      if (!arrow && !(isEnd && this.unsaved === node.uid)) return;
      event.preventDefault();
      event.stopPropagation();
      if (!arrow) return end(event.key === "Enter");
      const step = event.shiftKey ? 1 : STEP_PX;
      const zoom = this.map.getZoom();
      const { lat, lng } = this.map.unproject(this.map.project(marker.getLatLng(), zoom).add([arrow[0] * step, arrow[1] * step]), zoom);
      this.drafts.set(node.uid, { lat, lng: normal(lng) });
      this.unsaved = node.uid;
      this.drawMarks();
      if (!this.map.getBounds().contains([lat, lng])) this.map.panTo([lat, lng]);
    });
    button.addEventListener("blur", () => end(true));
    return mark;
  }

  /** The node stays where it was put, until the registry has it or refuses it. */
  private save(node: Node, { lat, lng }: L.LatLng): void {
    const to = { lat: Math.round(lat * 1e6) / 1e6, lng: Math.round(normal(lng) * 1e6) / 1e6 };
    this.drafts.set(node.uid, to);
    const settle = () => {
      if (this.drafts.get(node.uid) === to) this.drafts.delete(node.uid);
      if (this.map.getContainer().isConnected) this.drawMarks();
    };
    void this.on.move(node, to).then((isSaved) => (isSaved ? setTimeout(settle, SETTLE_MS) : settle()));
  }
}

/** An angle with the letter of its direction. `way`: north and south, or east and west. */
export function degrees(angle: number, way: "NS" | "EW", digits: number): string {
  const text = Math.abs(angle).toFixed(digits);
  const isSigned = Number(text) !== 0 && (way === "NS" || Number(text) !== 180);
  const letters = mt("compass");
  const letter = letters[(way === "NS" ? 0 : 2) + (angle < 0 ? 1 : 0)];
  return `${localDigits(text)}°${isSigned ? ` ${letter}` : ""}`;
}

const boundsOf = ({ south, west, north, east }: Box): L.LatLngBounds => L.latLngBounds([south, west], [north, east]);
