// SPDX-License-Identifier: BSD-3-Clause
/** Rows of resources: by the name of known ones, and by the type that the broker sends. */
import type { ComponentType } from "preact";
import { mayCommand } from "../info";
import type { Kind } from "../messages";
import type { Resource } from "../model/state";
import { PositionRow } from "./controls/Position";
import { SwitchRow } from "./controls/Switch";
import { lazy } from "./lazy";

export interface Renderer {
  Row: ComponentType<Properties>;
  /** Numbers are 0 and texts 1; controls come after them. */
  order: number;
  /** It only writes: without the node, its value is shown as text. */
  isControl: boolean;
}
interface Named extends Renderer {
  /** Whether it can draw this value; else it is drawn by its type. */
  fits: (resource: Resource) => boolean;
}

type Properties = { resource: Resource };
const RobotRow = lazy<Properties>(() => import("./controls/Robot").then((it) => it.RobotRow), 95);
const RibotRow = lazy<Properties>(() => import("./controls/Ribot").then((it) => it.RibotRow), 133);
const ImuRow = lazy<Properties>(() => import("./controls/Imu").then((it) => it.ImuRow), 210);
const WebcamRow = lazy<Properties>(() => import("./controls/Webcam").then((it) => it.WebcamRow), 65);
const ScriptRow = lazy<Properties>(() => import("./controls/Script").then((it) => it.ScriptRow), 52);
const FirmwareRow = lazy<Properties>(() => import("./controls/Firmware").then((it) => it.FirmwareRow), 80);
const TypedRow = lazy<Properties>(() => import("./controls/Typed").then((it) => it.TypedRow), 52);

/** People may have given it another type. */
const isOf = (kind: Kind) => (resource: Resource) => (resource.type.kind ?? kind) === kind;
/** Nothing but a control: without the right to command, its value is shown as text. */
const isCommand = (resource: Resource) => mayCommand.value && isOf("command")(resource);
const entry = (Row: Renderer["Row"], order: number, fits: Named["fits"], isControl = false): Named => ({ Row, order, fits, isControl });

const NAMED: ReadonlyMap<string, Named> = new Map([
  ["imu", entry(ImuRow, 4, ({ vectors }) => vectors !== null)],
  ["robot", entry(RobotRow, 5, isCommand, true)],
  ["ribot", entry(RibotRow, 6, isCommand, true)],
  ["webcam", entry(WebcamRow, 7, isOf("text"))],
  ["js", entry(ScriptRow, 8, isOf("text"), true)],
  ["suit_state", entry(FirmwareRow, 9, () => true)],
]);
const SWITCH: Renderer = { Row: SwitchRow, order: 2, isControl: true };
const POSITION: Renderer = { Row: PositionRow, order: 3, isControl: false };
const TYPED: Renderer = { Row: TypedRow, order: 2, isControl: true };

/** The row of a resource; undefined: a number or a text. */
export function rendererOf(resource: Resource): Renderer | undefined {
  const named = NAMED.get(resource.name);
  if (named?.fits(resource)) return named;
  const { kind, writable } = resource.type;
  if (kind === "position") return resource.node.position || writable ? POSITION : undefined;
  if (kind === "boolean") return writable === false ? undefined : SWITCH;
  return writable && kind && kind !== "vector" && mayCommand.value ? TYPED : undefined;
}
