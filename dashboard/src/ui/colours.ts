// SPDX-License-Identifier: BSD-3-Clause
/** Colours of the theme, for canvases. */
import { effect, signal } from "@preact/signals";
import { settings } from "../settings";

export const colours = signal({ line: "#0d857d", soft: "#444444", edge: "#cccccc", axes: ["#0d857d", "#b35c00", "#7048c6"], limits: { info: "#56616d", warning: "#8a5300", critical: "#b0261b" } });

const onPaper = colours.peek();
/** The page is being printed: on white paper, whatever the theme. */
export const printing = signal(false);
addEventListener("beforeprint", () => {
  colours.value = onPaper;
  printing.value = true;
});
addEventListener("afterprint", () => {
  readColours();
  printing.value = false;
});

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function readColours(): void {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  colours.value = {
    line: of("--spark"),
    soft: of("--soft"),
    edge: of("--edge"),
    limits: { info: of("--soft"), warning: of("--warn"), critical: of("--bad") },
    axes: [of("--axis-x"), of("--axis-y"), of("--axis-z")],
  };
}

effect(() => {
  void settings.theme.value;
  requestAnimationFrame(readColours);
});
systemIsDark.addEventListener("change", readColours);
