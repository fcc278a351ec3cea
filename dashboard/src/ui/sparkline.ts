// SPDX-License-Identifier: BSD-3-Clause
/**
 * Sparklines as paths of SVG. A canvas is a layer of its own for the browser: with 200 of them on
 * screen, putting the layers together takes longer than a frame.
 */
import { axisRange, share } from "../model/figures";
import { SAMPLES, type Ring } from "../model/ring";

/** This many samples fill the width, until there are more. */
const SAMPLES_WIDE = 24;
/** Free on all sides, for the width of the line. */
const EDGE = 3;

/** A line over the index of the samples of each ring, in one range; gaps stay empty. Then its last sample. */
export function sparkPaths(rings: readonly Ring[], unit: string, width: number, height: number): [line: string, last: string][] {
  let low = Infinity;
  let high = -Infinity;
  for (const ring of rings) {
    const [least, most] = ring.range();
    if (least < low) low = least;
    if (most > high) high = most;
  }
  if (low > high) return [];
  [low, high] = axisRange(low, high, unit);
  const y = (value: number) => (height - EDGE - share(value, low, high) * (height - 2 * EDGE)).toFixed(1);
  return rings.map((ring) => {
    const first = Math.max(0, ring.length - SAMPLES);
    const step = (width - 2 * EDGE) / (Math.max(ring.length - first, SAMPLES_WIDE) - 1);
    const start = width - EDGE - (ring.length - 1) * step;
    let line = "";
    let open = false;
    for (let place = first; place < ring.length; place += 1) {
      const value = ring.value(place);
      if (!Number.isNaN(value)) line += `${open ? "L" : "M"}${(start + place * step).toFixed(1)} ${y(value)}`;
      open = !Number.isNaN(value);
    }
    const last = ring.value(ring.length - 1);
    return [line, Number.isNaN(last) ? "" : `M${width - EDGE} ${y(last)}h0`];
  });
}

/** Draw them into `svg`, whose `viewBox` is their size. */
export function drawLines(svg: SVGSVGElement, rings: readonly Ring[], unit: string, faded: boolean): void {
  const { width, height } = svg.viewBox.baseVal;
  const paths = sparkPaths(rings, unit, width, height).flat();
  while (svg.childElementCount > paths.length) svg.lastElementChild?.remove();
  while (svg.childElementCount < paths.length) svg.append(document.createElementNS(svg.namespaceURI, "path"));
  paths.forEach((path, index) => svg.children[index].setAttribute("d", path));
  svg.classList.toggle("faded", faded);
}
