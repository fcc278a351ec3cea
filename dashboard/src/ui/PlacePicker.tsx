// SPDX-License-Identifier: BSD-3-Clause
/** A map on which a press chooses a place. */
import * as L from "leaflet";
import "leaflet/dist/leaflet.css";
import { useEffect, useRef } from "preact/hooks";
import { config } from "../config";
import { landPolygons } from "../coastlines";
import type { PickerProperties } from "./SetValue";
import "../more.css";

const NEAR_ZOOM = 12;

export function PlacePicker({ at, pick }: PickerProperties) {
  const place = useRef<HTMLDivElement>(null);
  const chosen = useRef<L.CircleMarker | null>(null);
  const map = useRef<L.Map | null>(null);
  useEffect(() => {
    if (!place.current) return;
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim();
    const it = L.map(place.current, { zoomControl: false, attributionControl: false, preferCanvas: true, minZoom: 1, maxZoom: 20 });
    if (at) it.setView([at.lat, at.lng], NEAR_ZOOM);
    else it.setView([30, 5], 1);
    L.geoJSON(landPolygons(), { style: { fillOpacity: 1, weight: 1, interactive: false, fillColor: of("--card"), color: of("--track") } }).addTo(it);
    if (config.tiles) L.tileLayer(config.tiles, { maxZoom: 20, maxNativeZoom: 19 }).addTo(it);
    const [south, west, north, east] = config.floorPlanBounds;
    if (config.floorPlan && east !== undefined) L.imageOverlay(config.floorPlan, [[south, west], [north, east]]).addTo(it);
    it.on("click", ({ latlng }) => {
      const { lat, lng } = latlng.wrap();
      pick(lat, lng);
    });
    map.current = it;
    return () => {
      it.remove();
      map.current = null;
      chosen.current = null;
    };
  }, []);
  useEffect(() => {
    if (!map.current || !at || !Number.isFinite(at.lat) || !Number.isFinite(at.lng)) return;
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--spark").trim();
    chosen.current ??= L.circleMarker([at.lat, at.lng], { radius: 8, weight: 2, color: colour, interactive: false }).addTo(map.current);
    chosen.current.setLatLng([at.lat, at.lng]);
  }, [at?.lat, at?.lng]);
  return (
    <div class="map-place picker">
      <div ref={place} class="map" />
    </div>
  );
}
