// SPDX-License-Identifier: BSD-3-Clause
/** What has just happened, and how to undo it. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { toast } from "../store";
import { t } from "../i18n";
import "../more.css";

const SHOWN_MS = 10_000;

export function Toast() {
  const ref = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const busy = useSignal(false);
  const notice = toast.value;
  useEffect(() => {
    if (!notice) return;
    busy.value = false;
    // The pressed button is gone: the keyboard goes on here.
    if (notice.takesFocus || document.activeElement === document.body) button.current?.focus();
    const timer = setInterval(() => {
      if (!busy.peek() && !ref.current?.matches(":hover, :has(:focus-visible)")) toast.value = null;
    }, SHOWN_MS);
    return () => clearInterval(timer);
  }, [notice]);
  if (!notice) return null;
  const undo = async () => {
    if (busy.peek()) return;
    busy.value = true;
    const uid = await notice.undo?.();
    if (toast.peek() === notice) toast.value = null;
    if (uid !== undefined) focusOn(uid);
  };
  return (
    <div ref={ref} class="toast" role="status">
      <span class="toast-text" data-tip="">
        {notice.text}
      </span>
      {notice.undo && (
        <button ref={button} type="button" class="button" aria-disabled={busy.value} onClick={() => void undo()}>
          {t("node.undo")}
        </button>
      )}
      {!notice.undo && (
        <button ref={button} type="button" class="button" onClick={() => (toast.value = null)}>
          {t("close")}
        </button>
      )}
    </div>
  );
}

const FRAMES_MAX = 60;

/** Go to the name of the node, as soon as it is drawn again. */
function focusOn(uid: string, frames = FRAMES_MAX): void {
  requestAnimationFrame(() => {
    const link = document.querySelector<HTMLElement>(`main [data-uid="${CSS.escape(uid)}"] a`);
    if (link) link.focus();
    else if (frames) focusOn(uid, frames - 1);
  });
}
