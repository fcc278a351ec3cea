// SPDX-License-Identifier: BSD-3-Clause
/** A joystick: the further from the centre, the faster; release stops. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { hold, release, type Drive } from "../../drive";
import type { Resource } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { triggerOf, isLive } from "../../store";
import { RowFrame } from "../rows";
import { t } from "../../i18n";
import "../../drive.css";

const SPEED_MAX = 255;
const AGAIN_MS = 1000; // repeated while held, as the firmware expects
const MOVE_MS = 150; // interval of commands while it moves
const KEY_SPEED = 160;

/** `dx:dy:sum`, each -255 to 255. */
export function speeds(dx: number, dy: number): string {
  const bounded = (value: number) => Math.max(-SPEED_MAX, Math.min(SPEED_MAX, Math.round(value))) || 0;
  return `${bounded(dx)}:${bounded(dy)}:${bounded(dx + dy)}\n`;
}

const STOP: Drive["stop"] = ["0:0:0\n", "0:0:0\n"];
const KEYS: Record<string, [number, number]> = {
  ArrowLeft: [-KEY_SPEED, 0],
  ArrowRight: [KEY_SPEED, 0],
  ArrowUp: [0, KEY_SPEED],
  ArrowDown: [0, -KEY_SPEED],
};

export function RibotRow({ resource }: { resource: Resource }) {
  const { node } = resource;
  void triggerOf(node).value; // its name
  const at = useSignal<[number, number]>([0, 0]);
  const off = useComputed(() => (void triggerOf(node).value, !isLive.value || node.left !== null));
  const timer = useRef(0);
  const sentAt = useRef(0);
  const stopped = () => {
    clearInterval(timer.current);
    timer.current = 0;
    at.value = [0, 0];
  };
  const send = () => {
    sentAt.current = performance.now();
    return hold(resource, speeds(...at.peek()), { stop: STOP, stopped });
  };
  const move = (dx: number, dy: number) => {
    if (off.peek()) return;
    at.value = [dx, dy];
    if (!timer.current) {
      if (send()) timer.current = window.setInterval(send, AGAIN_MS);
    } else if (performance.now() - sentAt.current > MOVE_MS) send();
  };
  useEffect(() => () => void (timer.current && release()), []);
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const scale = (2 * SPEED_MAX) / box.width;
    const dx = (event.clientX - box.left - box.width / 2) * scale;
    const dy = (box.top + box.height / 2 - event.clientY) * scale;
    const far = Math.max(1, Math.hypot(dx, dy) / SPEED_MAX);
    move(dx / far, dy / far);
  };
  const shift = useComputed(() => `translate(${(at.value[0] / SPEED_MAX) * 34}px, ${(-at.value[1] / SPEED_MAX) * 34}px)`);
  return (
    <RowFrame resource={resource} kind="control">
      <div
        class="stick"
        role="application"
        tabIndex={0}
        aria-roledescription={t("ribot.what")}
        aria-label={t("ribot.of", { name: quote(nodeTitle(node)) })}
        aria-disabled={off}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          point(event);
        }}
        onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && point(event)}
        onPointerUp={release}
        onPointerCancel={release}
        onLostPointerCapture={release}
        onBlur={release}
        onKeyDown={(event) => {
          const vector = KEYS[event.key];
          if (vector) move(...vector);
          else if (event.key === " ") release();
          else return;
          event.preventDefault();
        }}
        onKeyUp={(event) => event.key in KEYS && release()}
      >
        <Thumb shift={shift.value} />
      </div>
    </RowFrame>
  );
}

const Thumb = ({ shift }: { shift: string }) => <span class="thumb" style={{ transform: shift }} />;
