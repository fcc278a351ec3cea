// SPDX-License-Identifier: BSD-3-Clause
/** An overlay; Esc and a press outside close it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";
import { t } from "../i18n";
import "../more.css";

export function Drawer({ title, kind, close, children, head }: { title: string; kind: string; close: () => void; children: ComponentChildren; head?: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog
      ref={ref}
      class={kind}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => event.target === ref.current && close()}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          {head ?? <h2>{title}</h2>}
          <button type="button" class="tool close" aria-label={t("close")} title={t("close")} onClick={close}>
            <Icon name="close" />
          </button>
        </div>
        {children}
      </div>
    </dialog>
  );
}

/** A `ref` of what has the focus when it appears. */
export const focusOn = (element: HTMLElement | null): void => {
  // After the dialog has opened, which takes the focus.
  if (element) setTimeout(() => element.focus());
};
