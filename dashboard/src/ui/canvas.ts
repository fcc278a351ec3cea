// SPDX-License-Identifier: BSD-3-Clause
/** Sparklines, each on a canvas of its own. */
import { effect, signal } from "@preact/signals";
import { axisRange, share } from "../model/figures";
import { SAMPLES, type Ring } from "../model/ring";
import { redraw } from "../store";
import { settings } from "../settings";

/** Colours of the theme, for canvases. */
export const colours = signal({ line: "#0d857d", soft: "#56616d", edge: "#dfe4e8", axes: ["#0d857d", "#8a5300", "#7048c6"] });

/** This many samples fill the width, until there are more. */
const SAMPLES_WIDE = 24;

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function readColours(): void {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  colours.value = {
    line: of("--spark"),
    soft: of("--soft"),
    edge: of("--edge"),
    axes: [of("--axis-x"), of("--axis-y"), of("--axis-z")],
  };
  redraw();
}

effect(() => {
  void settings.theme.value;
  requestAnimationFrame(readColours);
});
systemIsDark.addEventListener("change", readColours);

/** Fit the canvas to the pixels of the screen; returns its size in CSS pixels. */
function fit(canvas: HTMLCanvasElement): { context: CanvasRenderingContext2D; width: number; height: number } | null {
  const context = canvas.getContext("2d");
  if (!context) return null;
  const ratio = Math.min(devicePixelRatio, 2);
  const width = Number(canvas.dataset.width);
  const height = Number(canvas.dataset.height);
  if (canvas.width !== width * ratio) {
    canvas.width = width * ratio;
    canvas.height = height * ratio;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Lines over the index of the samples, in one range. Gaps stay empty. */
export function drawLines(canvas: HTMLCanvasElement, rings: Ring[], unit: string, faded: boolean): void {
  const it = fit(canvas);
  if (!it) return;
  const { context, width, height } = it;
  let low = Infinity;
  let high = -Infinity;
  for (const ring of rings) {
    const [least, most] = ring.range();
    if (least < low) low = least;
    if (most > high) high = most;
  }
  if (low > high) return;
  [low, high] = axisRange(low, high, unit);
  const y = (value: number) => height - 3 - share(value, low, high) * (height - 6);
  rings.forEach((ring, index) => {
    const { line, soft, axes } = colours.peek();
    context.strokeStyle = context.fillStyle = faded ? soft : rings.length > 1 ? axes[index % 3] : line;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    const first = Math.max(0, ring.length - SAMPLES);
    const step = (width - 6) / (Math.max(ring.length - first, SAMPLES_WIDE) - 1);
    const start = width - 3 - (ring.length - 1) * step;
    let open = false;
    for (let place = first; place < ring.length; place += 1) {
      const value = ring.value(place);
      if (Number.isNaN(value)) {
        open = false;
      } else {
        const x = start + place * step;
        if (open) context.lineTo(x, y(value));
        else context.moveTo(x, y(value));
        open = true;
      }
    }
    context.stroke();
    const last = ring.value(ring.length - 1);
    if (!Number.isNaN(last)) {
      context.beginPath();
      context.arc(width - 3, y(last), 2, 0, 7);
      context.fill();
    }
  });
}
