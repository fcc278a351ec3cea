// SPDX-License-Identifier: BSD-3-Clause
/** Colours of the theme, for canvases. */
import { effect, signal } from "@preact/signals";
import { settings } from "../settings";

export const colours = signal({ line: "#0d857d", soft: "#56616d", edge: "#dfe4e8", axes: ["#0d857d", "#8a5300", "#7048c6"], limits: { info: "#56616d", warning: "#8a5300", critical: "#b0261b" } });

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
