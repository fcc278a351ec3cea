// SPDX-License-Identifier: BSD-3-Clause
/** Where a node is, in degrees, and the way to the map. */
import { useComputed } from "@preact/signals";
import type { Resource } from "../../model/state";
import { go } from "../../route";
import { bellOf, hovered } from "../../store";
import { RowFrame } from "../rows";
import { localDigits, t } from "../words";

export function PositionRow({ resource }: { resource: Resource }) {
  const text = useComputed(() => {
    void bellOf(resource).value;
    const at = resource.node.position;
    return at ? `${localDigits(at.lat.toFixed(5))}  ${localDigits(at.lng.toFixed(5))}` : resource.text;
  });
  return (
    <RowFrame resource={resource} kind="text">
      <button
        type="button"
        class="value link"
        title={`${t("map.show")}: ${resource.node.name || resource.node.uid}`}
        onClick={() => {
          go({ screen: "map", node: "" });
          hovered.value = resource.node; // it is marked there
        }}
      >
        {text}
      </button>
    </RowFrame>
  );
}
