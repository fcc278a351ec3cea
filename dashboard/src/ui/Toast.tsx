// SPDX-License-Identifier: BSD-3-Clause
/** A card was hidden: what happened, and how to undo it. */
import { useEffect, useRef } from "preact/hooks";
import { nodeTitle, quote } from "../model/text";
import { justHidden, unhide } from "../store";
import { t } from "../i18n";
import "../more.css";

const SHOWN_MS = 10_000;

export function Toast() {
  const ref = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const node = justHidden.value;
  useEffect(() => {
    if (!node) return;
    // The pressed button is gone: the keyboard goes on here.
    if (document.activeElement === document.body) button.current?.focus();
    const timer = setInterval(() => {
      if (!ref.current?.matches(":hover, :has(:focus-visible)")) justHidden.value = null;
    }, SHOWN_MS);
    return () => clearInterval(timer);
  }, [node]);
  if (!node) return null;
  const undo = () => {
    unhide(node.uid);
    requestAnimationFrame(() => document.querySelector<HTMLElement>(`#nodes [data-uid="${CSS.escape(node.uid)}"] h3 a`)?.focus());
  };
  return (
    <div ref={ref} class="toast" role="status">
      <span class="toast-text" data-tip="">
        {t("node.hidden", { name: quote(nodeTitle(node)) })}
      </span>
      <button ref={button} type="button" class="button" onClick={undo}>
        {t("node.undo")}
      </button>
    </div>
  );
}
