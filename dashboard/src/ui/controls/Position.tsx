// SPDX-License-Identifier: BSD-3-Clause
/** The position of a node in degrees, and a link to the map. */
import { useComputed } from "@preact/signals";
import type { Resource } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { navigate } from "../../route";
import { triggerOf, hovered } from "../../store";
import { RowFrame } from "../rows";
import { localDigits, t } from "../../i18n";

export function PositionRow({ resource }: { resource: Resource }) {
  void triggerOf(resource.node).value; // its name
  const text = useComputed(() => {
    void triggerOf(resource).value;
    const at = resource.node.position;
    return at ? `${localDigits(at.lat.toFixed(5))}  ${localDigits(at.lng.toFixed(5))}` : visible(resource.text);
  });
  return (
    <RowFrame resource={resource} kind="text">
      <button
        type="button"
        class="value link"
        title={`${t("map.show")}: ${quote(nodeTitle(resource.node))}`}
        onClick={() => {
          navigate({ screen: "map", node: "" });
          hovered.value = resource.node; // it is highlighted there
        }}
      >
        {text}
      </button>
    </RowFrame>
  );
}
