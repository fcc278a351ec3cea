// SPDX-License-Identifier: BSD-3-Clause
/** A direction pad: hold to drive. Arrows drive and Space stops while it has the focus. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { hold, release, stop, type Drive } from "../../drive";
import type { Resource } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { triggerOf, isLive } from "../../store";
import { Icon, type IconName } from "../icons";
import { RowFrame } from "../rows";
import { t } from "../../i18n";
import "../../drive.css";

type MoveKey = "robot.left" | "robot.forward" | "robot.right";
const MOVES: readonly [payload: string, icon: IconName, key: MoveKey][] = [
  ["l", "left", "robot.left"],
  ["u", "up", "robot.forward"],
  ["r", "right", "robot.right"],
];
const BY_KEY: Record<string, string> = { ArrowLeft: "l", ArrowUp: "u", ArrowRight: "r" };

export function RobotRow({ resource }: { resource: Resource }) {
  const { node } = resource;
  void triggerOf(node).value; // its name
  const moving = useSignal("");
  const off = useComputed(() => (void triggerOf(node).value, !isLive.value || node.left !== null));
  const drive: Drive = { stop: ["s"], stopped: () => (moving.value = "") };
  const start = (payload: string) => {
    if (!off.peek() && moving.peek() !== payload && hold(resource, payload, drive)) moving.value = payload;
  };
  const halt = () => (moving.peek() ? release() : stop(resource, drive.stop));
  useEffect(() => () => void (moving.peek() && release()), []);
  const down = (event: KeyboardEvent) => {
    const payload = BY_KEY[event.key];
    if (payload) start(payload);
    else if (event.key === " ") halt();
    else return;
    event.preventDefault();
  };
  const up = (event: KeyboardEvent) => {
    if (BY_KEY[event.key] === moving.peek()) release();
  };
  return (
    <RowFrame resource={resource} kind="control">
      <div
        class="pad"
        role="group"
        aria-label={t("robot.of", { name: quote(nodeTitle(node)) })}
        onKeyDown={down}
        onKeyUp={up}
        onFocusOut={(event) => {
          if (!event.currentTarget.contains(event.relatedTarget as globalThis.Node | null)) release();
        }}
      >
        {MOVES.map(([payload, icon, key]) => (
          <PadButton key={payload} icon={icon} label={t(key)} on={moving.value === payload} off={off.value} press={() => start(payload)} />
        ))}
        <button type="button" class="stop" aria-disabled={off} onClick={halt} title={t("robot.stop")}>
          <Icon name="stop" />
          <span>{t("robot.stop")}</span>
        </button>
      </div>
    </RowFrame>
  );
}

function PadButton({ icon, label, on, off, press }: { icon: IconName; label: string; on: boolean; off: boolean; press: () => void }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      aria-pressed={on}
      aria-disabled={off}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        press();
      }}
      onPointerUp={release}
      onPointerCancel={release}
      onLostPointerCapture={release}
      onContextMenu={(event) => event.preventDefault()}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.repeat) press();
      }}
      onKeyUp={(event) => {
        if (event.key === "Enter") release();
      }}
    >
      <Icon name={icon} />
    </button>
  );
}
