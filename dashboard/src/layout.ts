// SPDX-License-Identifier: BSD-3-Clause
/** The layout of the page: that of the open view, or else that of this browser. */
import { signal } from "@preact/signals";
import { PINS_MAX, type Layout } from "./model/layout";
import { view } from "./route";
import { settings } from "./settings";

export const layout = signal<Layout>(settings.layout.peek());

/** Without an open view, it is kept. */
export function changeLayout(change: Partial<Layout>): void {
  layout.value = { ...layout.peek(), ...change };
  if (!view.peek()) settings.layout.value = layout.peek();
}

export function togglePin(uid: string): void {
  const { pins } = layout.peek();
  changeLayout({ pins: pins.includes(uid) ? pins.filter((it) => it !== uid) : [...pins, uid].slice(-PINS_MAX) });
}
