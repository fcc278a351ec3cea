// SPDX-License-Identifier: BSD-3-Clause
/** Outlines of countries, tiles and the configured floor plan, below everything else on a map. */
import * as L from "leaflet";
import { config } from "../../config";
import { outlines } from "../../countries";

const themed = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draws it, and returns what gives it the colours of the theme. */
export function addOutlines(map: L.Map): () => void {
  const { land, borders } = outlines();
  const fill = L.polygon(land, { stroke: false, fillOpacity: 1, interactive: false, smoothFactor: 0.5 }).addTo(map);
  const lines = L.polyline(borders, { weight: 1, interactive: false, smoothFactor: 0.5 }).addTo(map);
  if (config.tiles) L.tileLayer(config.tiles, { maxZoom: 22, maxNativeZoom: 19 }).addTo(map);
  const [south, west, north, east] = config.floorPlanBounds;
  if (config.floorPlan && east !== undefined) L.imageOverlay(config.floorPlan, [[south, west], [north, east]]).addTo(map);
  return () => {
    fill.setStyle({ fillColor: themed("--card") });
    lines.setStyle({ color: themed("--track") });
  };
}

interface Redraws {
  _ctx?: CanvasRenderingContext2D;
  _redraw: () => void;
}
const leaflet = L.Canvas.prototype as unknown as Redraws;

/** Draws paths on a canvas. Leaflet may draw in the next frame on the canvas of a map that was removed (its issue 6030). */
export const CanvasOfMap = L.Canvas.extend({
  _redraw(this: Redraws) {
    if (this._ctx) leaflet._redraw.call(this);
  },
}) as unknown as new () => L.Canvas;

export { themed };
