// SPDX-License-Identifier: BSD-3-Clause
/** All nodes as a table: a row per node, a column per common number. */
import { useComputed, useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useRef } from "preact/hooks";
import { FACTS } from "../model/readings";
import { fact, type Node, type Resource } from "../model/state";
import { navigate } from "../route";
import { settings } from "../settings";
import { triggerOf, clock, clockOf, joined, membership, second, shown, state } from "../store";
import { useNodeState, useStateText } from "./Card";
import { Empty } from "./Nodes";
import { isStale, titleOf } from "./rows";
import { useVisibility } from "./visibility";
import { ago, localDigits, translate, t } from "../i18n";
import "../more.css";

const COLUMNS_MAX = 12;
const SORT_AGAIN_S = 3;

type Column = string; // `node`, `board`, `state`, `last_seen`, or a resource's name behind a dot

export function Table() {
  const order = useSignal<{ column: Column; down: boolean }>({ column: "node", down: false });
  void membership.value;
  // Values change: a table sorted by them is sorted again periodically, not constantly.
  if (order.value.column.startsWith(".") || order.value.column === "last_seen") void Math.floor(second.value / SORT_AGAIN_S);
  const nodes = shown.value;
  if (!joined.value) return <p class="wait">{t("pill.joining")}</p>;
  if (!nodes.length) return <Empty />;
  const numbers = columnsOf(nodes);
  const list = sorted(nodes, order.value.column, order.value.down);
  const columns: [Column, string][] = [
    ["node", t("table.node")],
    ["board", t("resource.board")],
    ["state", t("table.state")],
    ["last_seen", t("table.last_seen")],
    ...numbers.map((name): [Column, string] => [`.${name}`, titleOf(name)]),
  ];
  const sort = (column: Column) => {
    const same = order.peek().column === column;
    order.value = { column, down: same && !order.peek().down };
  };
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label={t("tab.table")}>
      <h2 class="visually-hidden">{t("tab.table")}</h2>
      <table>
        <thead>
          <tr>
            {columns.map(([column, name]) => (
              <th key={column} scope="col" class={column.startsWith(".") ? "numeric" : ""} aria-sort={order.value.column === column ? (order.value.down ? "descending" : "ascending") : undefined}>
                <button type="button" title={t("table.sort", { name })} onClick={() => sort(column)}>
                  {name}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {list.map((node) => (
            <Line key={node.uid} node={node} numbers={numbers} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The numbers and switches that most nodes have, most common first. */
function columnsOf(nodes: Node[]): string[] {
  const counts = new Map<string, number>();
  const hidden = settings.hiddenResources.value;
  for (const { resources } of nodes)
    for (const { name, kind } of resources.values())
      if ((kind === "number" || name === "led") && !FACTS.has(name) && !hidden.includes(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, COLUMNS_MAX).map(([name]) => name);
}

function sorted(nodes: Node[], column: Column, down: boolean): Node[] {
  const key = (node: Node): string | number => {
    if (column === "node") return (node.name || node.uid).toLowerCase();
    if (column === "board") return fact(node, "board").toLowerCase();
    if (column === "last_seen") return node.lastSeen;
    if (column === "state") return node.left ? 1 : 0;
    const resource = node.resources.get(column.slice(1));
    return resource?.kind === "number" ? resource.value : Number(resource?.text ?? -Infinity);
  };
  const sign = down ? -1 : 1;
  return nodes
    .map((node): [string | number, Node] => [key(node), node])
    .sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0))
    .map(([, node]) => node);
}

const Line = memo(function Line({ node, numbers }: { node: Node; numbers: string[] }) {
  void triggerOf(node).value;
  const ref = useRef<HTMLTableRowElement>(null);
  useVisibility(ref, node);
  const how = useNodeState(node);
  const chip = useStateText(node);
  const state_ = useComputed(() => chip.value || translate(`state.${how.value}`));
  const lastSeen = useComputed(() => (void clockOf(node).value, ago(clock() + state.offset - node.lastSeen)));
  return (
    <tr ref={ref} data-state={how} class="line">
      <th scope="row">
        <a
          href={`#/node/${encodeURIComponent(node.uid)}`}
          onClick={(event) => {
            event.preventDefault();
            navigate({ node: node.uid });
          }}
        >
          {node.name || node.uid}
        </a>
        {node.name && <span class="uid">{node.uid}</span>}
      </th>
      <td>{fact(node, "board")}</td>
      <td>
        <span class="state-word">{state_}</span>
      </td>
      <td class="soft">{lastSeen}</td>
      {numbers.map((name) => {
        const resource = node.resources.get(name);
        return (
          <td key={name} class="numeric">
            {resource && <Cell resource={resource} />}
          </td>
        );
      })}
    </tr>
  );
});

function Cell({ resource }: { resource: Resource }) {
  const text = useComputed(() => {
    void triggerOf(resource).value;
    if (resource.name === "led") return resource.text === "1" ? t("led.on") : resource.text === "0" ? t("led.off") : resource.text;
    return localDigits(resource.digits) || resource.text;
  });
  const unit = useComputed(() => (void triggerOf(resource).value, resource.unit));
  const stale = useComputed(() => (void clockOf(resource.node).value, isStale(resource)));
  return (
    <span class="value" data-stale={stale}>
      {text} <span class="unit">{unit}</span>
    </span>
  );
}
