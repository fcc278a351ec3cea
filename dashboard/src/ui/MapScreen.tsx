// SPDX-License-Identifier: BSD-3-Clause
/** The map. Coastlines and floor plan need no internet; tiles only if configured. */
import { useComputed, useSignal } from "@preact/signals";
import * as L from "leaflet";
import "leaflet/dist/leaflet.css";
import { useEffect, useRef } from "preact/hooks";
import { config } from "../config";
import { landPolygons } from "../coastlines";
import { nodeState, placeOf, type Node } from "../model/state";
import { nodeTitle, visible } from "../model/text";
import { navigate } from "../route";
import { clock, hovered, membership, second, shown, state, triggerOf } from "../store";
import { colours } from "./canvas";
import { formatNumber, localDigits, reasonText, translate, t } from "../i18n";
import "../more.css";

/** With more nodes, names would cover the map; then only the name under the pointer is shown. */
const NAMES_MAX = 30;
/** Lines of the grid are at least this many pixels apart. */
const GRID_PX = 90;
/** Degrees between two of them. */
const GRID_STEPS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30];
const LAND = { fillOpacity: 1, weight: 1, interactive: false };

class NodeMap {
  readonly map: L.Map;
  private readonly land: L.GeoJSON;
  private readonly grid: L.LayerGroup;
  private readonly markers = new Map<Node, L.CircleMarker>();
  private named = true;
  private fitted = false;

  constructor(
    place: HTMLElement,
    private readonly hover: (node: Node | null) => void,
  ) {
    // Leaflet's own controls are made of markup, which the content security policy refuses.
    this.map = L.map(place, { zoomControl: false, attributionControl: false, preferCanvas: true, minZoom: 1, maxZoom: 20, worldCopyJump: true }).setView([30, 5], 2);
    this.land = L.geoJSON(landPolygons(), { style: LAND }).addTo(this.map);
    this.grid = L.layerGroup().addTo(this.map);
    if (config.tiles) L.tileLayer(config.tiles, { maxZoom: 20, maxNativeZoom: 19 }).addTo(this.map);
    const [south, west, north, east] = config.floorPlanBounds;
    if (config.floorPlan && east !== undefined) L.imageOverlay(config.floorPlan, [[south, west], [north, east]]).addTo(this.map);
  }

  colour(): void {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim();
    this.land.setStyle({ fillColor: of("--card"), color: of("--track") });
    this.drawGrid();
  }

  /** A grid at round degrees. Zoomed in, coastlines alone would show nothing that moves. */
  drawGrid(): void {
    this.grid.clearLayers();
    const { x: width } = this.map.getSize();
    if (config.tiles || config.floorPlan || !width) return;
    const bounds = this.map.getBounds().pad(0.5);
    const [west, east, south, north] = [bounds.getWest(), bounds.getEast(), Math.max(-85, bounds.getSouth()), Math.min(85, bounds.getNorth())];
    const least = ((east - west) / 2 / width) * GRID_PX;
    const step = GRID_STEPS.find((degrees) => degrees >= least) ?? 30;
    const color = getComputedStyle(document.documentElement).getPropertyValue("--edge").trim();
    const line = (from: L.LatLngTuple, to: L.LatLngTuple) => L.polyline([from, to], { color, weight: 1, interactive: false }).addTo(this.grid);
    for (let at = Math.ceil(west / step); at * step <= east; at += 1) line([south, at * step], [north, at * step]);
    for (let at = Math.ceil(south / step); at * step <= north; at += 1) line([at * step, west], [at * step, east]);
  }

  /** Show these nodes where they are now. */
  draw(nodes: Node[]): void {
    const there = new Set(nodes);
    const named = nodes.length <= NAMES_MAX;
    if (named !== this.named) for (const marker of this.markers.values()) this.name(marker, named);
    this.named = named;
    for (const [node, marker] of this.markers)
      if (!there.has(node)) {
        marker.remove();
        this.markers.delete(node);
      }
    for (const node of nodes) {
      const at = placeOf(node);
      if (!at) continue;
      let marker = this.markers.get(node);
      if (!marker) {
        marker = L.circleMarker(at, { radius: 8, weight: 2 }).addTo(this.map);
        this.name(marker, named);
        marker.on("click", () => navigate({ node: node.uid }));
        marker.on("mouseover", () => this.hover(node));
        marker.on("mouseout", () => this.hover(null));
        this.markers.set(node, marker);
      }
      const { lat, lng } = marker.getLatLng();
      if (lat !== at.lat || lng !== at.lng) marker.setLatLng(at);
      const label = document.createElement("span");
      label.textContent = nodeTitle(node); // text of a device is never markup
      marker.setTooltipContent(label);
    }
    if (!this.fitted && this.markers.size) this.fit();
  }

  private name(marker: L.CircleMarker, always: boolean): void {
    marker.unbindTooltip();
    marker.bindTooltip(document.createElement("span"), { permanent: always, direction: "top", offset: [0, -8] });
  }

  mark(node: Node | null): void {
    const { line, soft } = colours.peek();
    for (const [its, marker] of this.markers) {
      const how = nodeState(state, its, clock());
      const colour = how === "live" || how === "quiet" ? line : soft;
      marker.setStyle({ color: colour, fillColor: colour, fillOpacity: its === node ? 1 : 0.45, dashArray: its.left ? "3 3" : undefined });
      marker.setRadius(its === node ? 12 : 8);
      if (this.named) continue;
      if (its === node) marker.openTooltip();
      else marker.closeTooltip();
    }
  }

  fit(): void {
    this.fitted = true;
    const places = [...this.markers.values()].map((marker) => marker.getLatLng());
    // Without tiles or floor plan, a single node is shown with its surroundings.
    const maxZoom = config.tiles || config.floorPlan ? 18 : places.length > 1 ? 17 : 5;
    if (places.length) this.map.fitBounds(L.latLngBounds(places).pad(0.25), { maxZoom, animate: false });
  }

  /** A round distance and how many pixels it has here. */
  scale(): { metres: number; pixels: number } {
    const { y } = this.map.getSize();
    const width = this.map.distance(this.map.containerPointToLatLng([0, y / 2]), this.map.containerPointToLatLng([100, y / 2]));
    const step = 10 ** Math.floor(Math.log10(width));
    const metres = [5, 2, 1].map((digit) => digit * step).find((round) => round <= width) ?? step;
    return { metres, pixels: (metres / width) * 100 };
  }
}

function located(): Node[] {
  return shown.value.filter((node) => placeOf(node) !== null);
}

export function MapScreen() {
  void membership.value;
  const nodes = located();
  return (
    <section class="map-screen">
      <h2 class="visually-hidden">{t("map.title")}</h2>
      <MapPlace />
      <aside aria-label={t("map.nodes")}>
        {nodes.length === 0 && (
          <div class="empty">
            <h3>{t("map.none")}</h3>
            <p>{t("map.none_more")}</p>
          </div>
        )}
        <ul>
          {nodes.map((node) => (
            <Place key={node.uid} node={node} />
          ))}
        </ul>
      </aside>
    </section>
  );
}

function Place({ node }: { node: Node }) {
  void triggerOf(node).value;
  const text = useComputed(() => {
    void second.value;
    const at = placeOf(node);
    const how = nodeState(state, node, clock());
    const words = how === "live" || how === "quiet" ? "" : ` · ${how === "left" ? visible(reasonText(node.left?.reason)) : translate(`state.${how}`, { age: "" })}`;
    return at ? `${localDigits(at.lat.toFixed(5))}  ${localDigits(at.lng.toFixed(5))}${words}` : "";
  });
  return (
    <li>
      <button
        type="button"
        class="place"
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

function MapPlace() {
  const place = useRef<HTMLDivElement>(null);
  const map = useRef<NodeMap | null>(null);
  const scale = useSignal({ metres: 0, pixels: 0 });
  useEffect(() => {
    if (!place.current) return;
    const it = new NodeMap(place.current, (node) => (hovered.value = node));
    map.current = it;
    it.map.on("zoomend moveend resize", () => {
      scale.value = it.scale();
      it.drawGrid();
    });
    const watch = new ResizeObserver(() => it.map.invalidateSize());
    watch.observe(place.current);
    return () => {
      watch.disconnect();
      it.map.remove();
      map.current = null;
    };
  }, []);
  void second.value;
  void membership.value;
  const { line } = colours.value;
  const nodes = located();
  const marked = hovered.value;
  useEffect(() => map.current?.colour(), [line]);
  useEffect(() => {
    map.current?.draw(nodes);
    map.current?.mark(marked);
  });
  return (
    <div class="map-place">
      <div ref={place} class="map" aria-label={t("map.title")} role="region" />
      <div class="map-buttons">
        <button type="button" aria-label={t("map.in")} title={t("map.in")} onClick={() => map.current?.map.zoomIn()}>
          +
        </button>
        <button type="button" aria-label={t("map.out")} title={t("map.out")} onClick={() => map.current?.map.zoomOut()}>
          −
        </button>
        <button type="button" class="wide" onClick={() => map.current?.fit()}>
          {t("map.fit")}
        </button>
      </div>
      {scale.value.metres > 0 && (
        <span class="map-scale" style={{ width: `${scale.value.pixels}px` }}>
          {scale.value.metres < 1000 ? `${formatNumber(scale.value.metres)} m` : `${formatNumber(scale.value.metres / 1000)} km`}
        </span>
      )}
      <small>{config.tiles ? new URL(config.tiles.replace("{s}.", "")).host : t("map.land")}</small>
    </div>
  );
}
