// SPDX-License-Identifier: BSD-3-Clause
/** A switch. It changes when the node confirms, not when it is pressed. */
import { useComputed } from "@preact/signals";
import type { Resource } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { mayCommand } from "../../info";
import { sendCommand, triggerOf, isLive } from "../../store";
import { RowFrame, titleOf } from "../rows";
import { t } from "../../i18n";

export function LedRow({ resource }: { resource: Resource }) {
  const { node } = resource;
  void triggerOf(node).value; // its name
  const on = useComputed(() => (void triggerOf(resource).value, resource.text === "1"));
  const busy = useComputed(() => (void triggerOf(resource).value, resource.command?.state === "pending"));
  const off = useComputed(() => (void triggerOf(node).value, !isLive.value || node.left !== null));
  const known = useComputed(() => (void triggerOf(resource).value, resource.text === "0" || resource.text === "1"));
  const text = useComputed(() =>
    known.value ? t(on.value ? "led.on" : "led.off") : (void triggerOf(resource).value, visible(resource.text)),
  );
  const toggle = () => {
    if (!off.peek() && !busy.peek()) sendCommand(resource, on.peek() ? "0" : "1");
  };
  return (
    <RowFrame resource={resource} kind="switch">
      <span class="value">
        <span data-tip="">{text}</span>
        {mayCommand.value && (
          <button
            type="button"
            role="switch"
            aria-checked={on}
            aria-busy={busy}
            aria-disabled={off}
            aria-label={t("control.of", { what: titleOf(resource.name), name: quote(nodeTitle(node)) })}
            onClick={toggle}
          >
            <i />
          </button>
        )}
      </span>
    </RowFrame>
  );
}
