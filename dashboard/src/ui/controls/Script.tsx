// SPDX-License-Identifier: BSD-3-Clause
/** The script on a node: its first line here, its editor in the details. */
import { useComputed } from "@preact/signals";
import type { Resource } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { mayCommand } from "../../info";
import { navigate } from "../../route";
import { triggerOf } from "../../store";
import { RowFrame } from "../rows";
import { t } from "../../i18n";

export function ScriptRow({ resource }: { resource: Resource }) {
  const { node } = resource;
  void triggerOf(node).value; // its name
  const first = useComputed(() => {
    void triggerOf(resource).value;
    const line = visible(resource.text.trim().split("\n", 1)[0]);
    return line.length > 40 ? `${line.slice(0, 40)}…` : line || t("script.empty");
  });
  return (
    <RowFrame resource={resource} kind="script">
      <span class="value">
        <code>{first}</code>
        {mayCommand.value && (
          <button
            type="button"
            class="button"
            aria-label={t("script.edit_of", { name: quote(nodeTitle(node)) })}
            onClick={() => navigate({ node: node.uid })}
          >
            {t("script.edit")}
          </button>
        )}
      </span>
    </RowFrame>
  );
}
