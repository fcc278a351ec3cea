// SPDX-License-Identifier: BSD-3-Clause
/** The charts of a node as one picture. */
import { visible } from "../../model/text";
import type { Segment } from "../../model/segments";
import type { Drawing } from "./context";

const WIDTH = 1200;
const EDGE = 24;
const TITLE_PX = 30;
const CAPTION_PX = 22;
const STRIP_PX = 24;
const SCALE = 2;
const FONT = "system-ui, sans-serif";

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

interface ChartPicture {
  width: number;
  top: number;
  title: string;
  unit: string;
  names: string[];
  strokes: string[];
  canvas: HTMLCanvasElement | null;
}

export function paintChart(context: CanvasRenderingContext2D, { width, top, title, unit, names, strokes, canvas }: ChartPicture): number {
  context.font = `600 14px ${FONT}`;
  context.fillStyle = colour("ink");
  const caption = `${title}${unit ? ` (${visible(unit)})` : ""}`;
  context.fillText(caption, EDGE, top + 15);
  let x = EDGE + context.measureText(caption).width + 16;
  if (names.length > 1)
    names.forEach((name, index) => {
      context.fillStyle = strokes[index];
      context.fillText(visible(name), x, top + 15);
      x += context.measureText(visible(name)).width + 14;
    });
  if (!canvas?.width) return CAPTION_PX;
  const height = (canvas.height / canvas.width) * (width - 2 * EDGE);
  context.drawImage(canvas, EDGE, top + CAPTION_PX, width - 2 * EDGE, height);
  return CAPTION_PX + height + 14;
}

export function paintStrip(context: CanvasRenderingContext2D, width: number, top: number, title: string, segments: readonly Segment[], look: (segment: Segment) => { fill: string; text: string }): number {
  context.font = `600 14px ${FONT}`;
  context.fillStyle = colour("ink");
  context.fillText(title, EDGE, top + 15);
  const [first, last] = [segments[0]?.from ?? 0, segments.at(-1)?.to ?? 1];
  const x = (ts: number) => EDGE + ((ts - first) / (last - first)) * (width - 2 * EDGE);
  for (const segment of segments) {
    const { fill, text } = look(segment);
    context.fillStyle = fill;
    context.fillRect(x(segment.from), top + CAPTION_PX, Math.max(0.5, x(segment.to) - x(segment.from) - 0.5), STRIP_PX);
    context.font = `12px ${FONT}`;
    context.fillStyle = colour("ink");
    if (context.measureText(text).width + 8 < x(segment.to) - x(segment.from)) context.fillText(text, x(segment.from) + 4, top + CAPTION_PX + 16);
  }
  return CAPTION_PX + STRIP_PX + 14;
}

/** All drawings below a title. */
export async function pictureOf(title: string, about: string, drawings: readonly Drawing[]): Promise<Blob | null> {
  const paint = (context: CanvasRenderingContext2D): number => {
    let top = EDGE;
    context.font = `650 20px ${FONT}`;
    context.fillStyle = colour("ink");
    context.fillText(title, EDGE, top + 16);
    context.font = `13px ${FONT}`;
    context.fillStyle = colour("soft");
    context.fillText(about, EDGE, top + 38);
    top += TITLE_PX + 24;
    for (const drawing of drawings) top += drawing.paint(context, WIDTH, top);
    return top + EDGE / 2;
  };
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) return null;
  const height = paint(context);
  canvas.width = WIDTH * SCALE;
  canvas.height = Math.ceil(height) * SCALE;
  context.scale(SCALE, SCALE);
  context.fillStyle = colour("card");
  context.fillRect(0, 0, WIDTH, height);
  paint(context);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export function save(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

