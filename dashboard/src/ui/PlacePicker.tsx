// SPDX-License-Identifier: BSD-3-Clause
/** A map on which a press chooses a place. */
import * as L from "leaflet";
import "leaflet/dist/leaflet.css";
import { useEffect, useRef } from "preact/hooks";
import { addOutlines, CanvasOfMap } from "./map/outlineLayer";
import "../map.css";

const NEAR_ZOOM = 12;

export interface PickerProperties {
  at: { lat: number; lng: number } | null;
  /** Called with the place that was pressed. */
  pick: (lat: number, lng: number) => void;
}

export function PlacePicker({ at, pick }: PickerProperties) {
  const place = useRef<HTMLDivElement>(null);
  const chosen = useRef<L.CircleMarker | null>(null);
  const map = useRef<L.Map | null>(null);
  useEffect(() => {
    if (!place.current) return;
    const it = L.map(place.current, { zoomControl: false, attributionControl: false, renderer: new CanvasOfMap(), minZoom: 1, maxZoom: 20 });
    if (at) it.setView([at.lat, at.lng], NEAR_ZOOM);
    else it.setView([30, 5], 1);
    addOutlines(it)();
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
