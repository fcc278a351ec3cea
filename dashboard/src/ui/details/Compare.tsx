// SPDX-License-Identifier: BSD-3-Clause
/** Choose a number of this or another node to compare with. */
import { useSignal } from "@preact/signals";
import type { Node, Resource } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { allNodes } from "../../store";
import { allResources } from "../Card";
import { nameOf } from "../rows";
import { d } from "../../i18n/details";

/** Numbers that may be compared at once. */
export const COMPARED_MAX = 4;

export const comparedName = (resource: Resource, node: Node): string =>
  resource.node === node ? nameOf(resource) : `${nameOf(resource)}, ${nodeTitle(resource.node)}`;

export function Compare({ node, compared, change }: { node: Node; compared: Resource[]; change: (list: Resource[]) => void }) {
  const nodes = allNodes();
  // What can share an axis comes first.
  const units = new Set(allResources(node).filter(({ kind }) => kind === "number").map(({ unit }) => unit));
  const fits = (its: Resource) => its.kind === "number" && units.has(its.unit);
  const others = nodes.filter((other) => other !== node);
  const uid = useSignal((others.find((other) => [...other.resources.values()].some(fits)) ?? others[0] ?? node).uid);
  const other = nodes.find((its) => its.uid === uid.value) ?? node;
  const numbers = allResources(other).filter(({ kind }) => kind === "number");
  const name = useSignal("");
  const chosen = numbers.find((its) => its.name === name.value) ?? numbers.find((its) => fits(its) && !compared.includes(its)) ?? numbers[0];
  return (
    <div class="compare">
      {compared.length < COMPARED_MAX && (
        <div class="own-range">
          <label class="field">
            <span>{d("compare.node")}</span>
            <select class="input" value={uid.value} onChange={(event) => (uid.value = event.currentTarget.value)}>
              {nodes.map((its) => (
                <option key={its.uid} value={its.uid}>
                  {nodeTitle(its)}
                </option>
              ))}
            </select>
          </label>
          <label class="field">
            <span>{d("compare.resource")}</span>
            <select class="input" value={chosen?.name ?? ""} disabled={!chosen} onChange={(event) => (name.value = event.currentTarget.value)}>
              {!chosen && <option value="">{d("compare.none")}</option>}
              {numbers.map((its) => (
                <option key={its.name} value={its.name}>
                  {nameOf(its)}
                </option>
              ))}
            </select>
          </label>
          <button type="button" class="button" disabled={!chosen || compared.includes(chosen)} onClick={() => chosen && change([...compared, chosen])}>
            {d("compare.add")}
          </button>
        </div>
      )}
      {compared.length > 0 && (
        <ul class="compared">
          {compared.map((resource) => (
            <li key={`${resource.node.uid} ${resource.name}`}>
              {comparedName(resource, node)}
              <button type="button" class="tool" aria-label={d("compare.remove", { name: quote(comparedName(resource, node)) })} onClick={() => change(compared.filter((its) => its !== resource))}>
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
