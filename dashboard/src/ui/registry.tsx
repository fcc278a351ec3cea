// SPDX-License-Identifier: BSD-3-Clause
/** Renderers of known resources, one entry each; others are drawn by their type. */
import type { ComponentType } from "preact";
import type { Resource } from "../model/state";
import { FirmwareRow } from "./controls/Firmware";
import { ImuRow } from "./controls/Imu";
import { LedRow } from "./controls/Led";
import { PositionRow } from "./controls/Position";
import { RibotRow } from "./controls/Ribot";
import { RobotRow } from "./controls/Robot";
import { ScriptRow } from "./controls/Script";
import { WebcamRow } from "./controls/Webcam";

export interface Renderer {
  Row: ComponentType<{ resource: Resource }>;
  /** Numbers are 0 and texts 1; controls come after them. */
  order: number;
  /** Whether the renderer can draw this value; else it is drawn by its type. */
  fits: (resource: Resource) => boolean;
}

const always = () => true;
const entry = (Row: Renderer["Row"], order: number, fits: Renderer["fits"] = always): Renderer => ({ Row, order, fits });

export const renderers: Readonly<Record<string, Renderer | undefined>> = Object.assign(
  Object.create(null) as Record<string, Renderer>, // a resource may be called `constructor`
  {
    led: entry(LedRow, 2),
    position: entry(PositionRow, 3, ({ node }) => node.position !== null),
    imu: entry(ImuRow, 4, ({ vectors }) => vectors !== null),
    robot: entry(RobotRow, 5),
    ribot: entry(RibotRow, 6),
    webcam: entry(WebcamRow, 7),
    js: entry(ScriptRow, 8),
    suit_state: entry(FirmwareRow, 9),
  },
);
