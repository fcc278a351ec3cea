// SPDX-License-Identifier: BSD-3-Clause
/** Renderers of known resources, one entry each; others are drawn by their type. */
import type { ComponentType } from "preact";
import { mayCommand } from "../info";
import type { Resource } from "../model/state";
import { FirmwareRow } from "./controls/Firmware";
import { LedRow } from "./controls/Led";
import { PositionRow } from "./controls/Position";
import { ScriptRow } from "./controls/Script";
import { lazy } from "./lazy";
import { WebcamRow } from "./controls/Webcam";

export interface Renderer {
  Row: ComponentType<Properties>;
  /** Numbers are 0 and texts 1; controls come after them. */
  order: number;
  /** Whether the renderer can draw this value; else it is drawn by its type. */
  fits: (resource: Resource) => boolean;
}

type Properties = { resource: Resource };
const RobotRow = lazy<Properties>(() => import("./controls/Robot").then((it) => it.RobotRow), 95);
const RibotRow = lazy<Properties>(() => import("./controls/Ribot").then((it) => it.RibotRow), 133);
const ImuRow = lazy<Properties>(() => import("./controls/Imu").then((it) => it.ImuRow), 210);

const always = () => true;
/** Nothing but a control: without the right to command, its value is shown as text. */
const commands = () => mayCommand.value;
const entry = (Row: Renderer["Row"], order: number, fits: Renderer["fits"] = always): Renderer => ({ Row, order, fits });

export const renderers: Readonly<Record<string, Renderer | undefined>> = Object.assign(
  Object.create(null) as Record<string, Renderer>, // a resource may be called `constructor`
  {
    led: entry(LedRow, 2),
    position: entry(PositionRow, 3, ({ node }) => node.position !== null),
    imu: entry(ImuRow, 4, ({ vectors }) => vectors !== null),
    robot: entry(RobotRow, 5, commands),
    ribot: entry(RibotRow, 6, commands),
    webcam: entry(WebcamRow, 7),
    js: entry(ScriptRow, 8),
    suit_state: entry(FirmwareRow, 9),
  },
);
