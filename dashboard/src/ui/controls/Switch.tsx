// SPDX-License-Identifier: BSD-3-Clause
/** A switch. It changes when the node confirms, not when it is pressed. */
import { useComputed } from "@preact/signals";
import { payloadOf, truthOf } from "../../model/resourceTypes";
import type { Resource } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { mayCommand } from "../../info";
import { sendCommand, triggerOf } from "../../store";
import { RowFrame, nameOf, textValue, useOff } from "../rows";
import { t } from "../../i18n";

export function SwitchRow({ resource }: { resource: Resource }) {
  const { node } = resource;
  void triggerOf(node).value; // its name
  const on = useComputed(() => (void triggerOf(resource).value, truthOf(resource.text, resource.type) === true));
  const busy = useComputed(() => (void triggerOf(resource).value, resource.command?.state === "pending"));
  const off = useOff(resource);
  /** A dash: its state is not known yet. */
  const text = useComputed(() => (void triggerOf(resource).value, textValue(resource) || "–"));
  const toggle = () => {
    if (!off.peek() && !busy.peek()) sendCommand(resource, payloadOf(!on.peek(), resource.type));
  };
  return (
    <RowFrame resource={resource} kind="switch" on={on}>
      <span class="value">
        <span data-tip="">{text}</span>
        {mayCommand.value && (
          <button
            type="button"
            role="switch"
            aria-checked={on}
            aria-busy={busy}
            aria-disabled={off}
            aria-label={t("control.of", { what: nameOf(resource), name: quote(nodeTitle(node)) })}
            onClick={toggle}
          >
            <i />
          </button>
        )}
      </span>
    </RowFrame>
  );
}
