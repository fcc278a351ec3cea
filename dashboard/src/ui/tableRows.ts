// SPDX-License-Identifier: BSD-3-Clause
/** Which rows of a long table exist: those on screen, some beyond, and the one with the focus. */
import { useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { rowsBetween } from "../model/fleet";

/** Shorter tables have all their rows, for printing and for the search of the browser. */
const WHOLE_MAX = 200;
const ROW_PX = 36;
const OVERSCAN_PX = 300;
/** The range changes in steps, so that most frames of a scroll draw nothing. */
const STEP = 4;

export interface Rows {
  first: number;
  end: number;
  /** Heights of the rows before and after those. */
  before: number;
  after: number;
}

/** The rows of a table with `count` rows to draw. Columns do not become narrower while it is scrolled. */
export function useRows(table: { current: HTMLTableElement | null }, count: number, columns: string): Rows {
  const height = useSignal(ROW_PX);
  const range = useSignal("0 40");
  const isWhole = count <= WHOLE_MAX;
  useLayoutEffect(() => {
    const body = table.current?.tBodies[0];
    if (isWhole || !body) return;
    const look = () => {
      height.value = body.querySelector<HTMLElement>("tr.line")?.offsetHeight || height.peek();
      const { top } = body.getBoundingClientRect();
      range.value = rowsBetween(-top - OVERSCAN_PX, innerHeight - top + OVERSCAN_PX, height.peek(), STEP).join(" ");
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [isWhole]);
  const heads = () => [...(table.current?.tHead?.rows[0].cells ?? [])];
  useLayoutEffect(() => {
    for (const head of heads()) head.style.minWidth = "";
  }, [columns, isWhole]);
  useLayoutEffect(() => {
    if (isWhole) return;
    const widths = heads().map((head) => head.offsetWidth);
    heads().forEach((head, index) => (head.style.minWidth = `${widths[index]}px`));
  }, [range.value, columns, isWhole]);
  if (isWhole) return { first: 0, end: count, before: 0, after: 0 };
  const [from, to] = range.value.split(" ").map(Number);
  const first = Math.min(from, Math.max(0, count - 1));
  const end = Math.min(to, count);
  return { first, end, before: first * height.value, after: Math.max(0, count - end) * height.value };
}
