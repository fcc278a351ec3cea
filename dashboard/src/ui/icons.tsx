// SPDX-License-Identifier: BSD-3-Clause
/** Icons, 20 by 20. Each has a label beside it or in its control. */

const PATHS = {
  nodes: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z",
  table: "M3 4h14v12H3zM3 8h14M3 12h14M8 8v8",
  map: "M3 5l4.500-2 5 2L17 3v12l-4.500 2-5-2L3 17zM7.500 3v12M12.500 5v12",
  updates: "M10 3v9M6.500 8.500L10 12l3.500-3.500M4 16h12",
  settings: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
  activity: "M2.500 10.500h3.500l2.500-6 3.500 11 2.500-5h3",
  timeline: "M10 3a7 7 0 1 1-6.600 4.700M3 3v5h5M10 6v4.500l3 2",
  path: "M2.500 4h5v4h-5zM12.500 4h5v4h-5zM7.500 12h5v4h-5zM5 8l5 4 5-4",
  alerts: "M10 3a4.500 4.500 0 0 0-4.500 4.500c0 4-1.500 5.500-2 6.500h13c-.5-1-2-2.500-2-6.500A4.500 4.500 0 0 0 10 3M8.500 16.500a1.600 1.600 0 0 0 3 0",
  search: "M9 3.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11M13 13l4 4",
  filter: "M3 5h14M6 10h8M8.500 15h3",
  theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14M13 5v10M16 8v4",
  pause: "M7 4v12M13 4v12",
  play: "M6 4l10 6-10 6z",
  close: "M5 5l10 10M15 5L5 15",
  help: "M7 7.500a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1-1.500 2.200M10 15.500v.1",
  account: "M10 3.500a3.200 3.200 0 1 0 0 6.400 3.200 3.200 0 0 0 0-6.400M3.500 17a6.500 5 0 0 1 13 0",
  link: "M8.500 11.500l3-3M9.500 6l1.500-1.500a3.200 3.200 0 0 1 4.500 4.500L14 10.500M10.500 14L9 15.500A3.200 3.200 0 0 1 4.500 11L6 9.500",
  hide: "M3 3l14 14M8 5.200A8 8 0 0 1 18 10a11 11 0 0 1-2 2.600M5 6.500A11 11 0 0 0 2 10a8.300 8.300 0 0 0 10 4.600",
  rename: "M3.500 16.500l1-4 9-9 3 3-9 9zM11.500 5.500l3 3",
  open: "M8 4h8v8M16 4L5 15",
  up: "M10 4l6 8H4z",
  left: "M4 10l8-6v12z",
  right: "M16 10L8 4v12z",
  stop: "M5 5h10v10H5z",
  pin: "M7 3h6l-1 6 3 3H5l3-3zM10 12v5",
  grip: "M7 4v.1M13 4v.1M7 10v.1M13 10v.1M7 16v.1M13 16v.1",
  menu: "M3 5h14M3 10h14M3 15h14",
  more: "M4 10v.1M10 10v.1M16 10v.1",
  view: "M3 4h14v4H3zM3 12h6v4H3zM13 12h4v4h-4z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
