// SPDX-License-Identifier: BSD-3-Clause
/** All nodes as a table: a row per node, a column per common number. */
import { useComputed, useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { natural } from "../model/order";
import { fact, nodeState, type Node, type NodeState, type Resource } from "../model/state";
import { nodeTitle, plainTitle, visible } from "../model/text";
import { sortedBy } from "../narrow";
import { nodeLink } from "../route";
import { triggerOf, clock, clockOf, joined, membership, second, setVisible, shown, state } from "../store";
import { useNodeState, useStateText } from "./Card";
import { columnsOf } from "./columns";
import { Above, Empty, OfflineNodes } from "./Nodes";
import { Digits, isStale, textValue, titleOf } from "./rows";
import { useRows } from "./tableRows";
import { ago, translate, t } from "../i18n";
import "../more.css";

const SORT_AGAIN_S = 3;

type Column = string; // `node`, `board`, `state`, `last_seen`, or a resource's name behind a dot

export function Table() {
  const order = useSignal<{ column: Column; down: boolean }>({ column: "node", down: false });
  const table = useRef<HTMLTableElement>(null);
  /** The row with the keyboard's focus stays, also out of sight. */
  const focused = useSignal("");
  void membership.value;
  // Values change: a table sorted by them is sorted again periodically, not constantly.
  if (order.value.column.startsWith(".") || order.value.column === "last_seen" || order.value.column === "state") void Math.floor(second.value / SORT_AGAIN_S);
  const nodes = shown.value;
  const numbers = columnsOf(nodes);
  const rows = useRows(table, joined.value ? nodes.length : 0, numbers.join());
  useEffect(() => {
    const { column } = order.value;
    sortedBy.value = column.startsWith(".") ? column.slice(1) : "";
  }, [order.value]);
  useEffect(() => () => void (sortedBy.value = ""), []);
  if (!joined.value) return <p class="wait">{t("pill.joining")}</p>;
  if (!nodes.length)
    return (
      <>
        <Above />
        <Empty />
        <OfflineNodes />
      </>
    );
  const list = sorted(nodes, order.value.column, order.value.down);
  const kept = focused.value ? list.findIndex(({ uid }) => uid === focused.value) : -1;
  const drawn = Array.from({ length: rows.end - rows.first }, (_, index) => rows.first + index);
  if (kept >= 0 && kept < rows.first) drawn.unshift(kept);
  if (kept >= rows.end) drawn.push(kept);
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
    <>
    <Above />
    <div class="table-place" tabIndex={0} role="region" aria-label={t("tab.table")}>
      <h2 class="visually-hidden">{t("tab.table")}</h2>
      <table
        ref={table}
        aria-rowcount={list.length + 1}
        onFocusIn={(event) => (focused.value = (event.target as Element).closest<HTMLElement>("tr.line")?.dataset.uid ?? "")}
        onFocusOut={() => (focused.value = "")}
      >
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
          {rows.before > 0 && <Space height={rows.before} />}
          {drawn.map((place) => (
            <Line key={list[place].uid} node={list[place]} row={place + 2} numbers={numbers} />
          ))}
          {rows.after > 0 && <Space height={rows.after} />}
        </tbody>
      </table>
    </div>
    <OfflineNodes />
    </>
  );
}

/** From good to bad. */
const STATES: readonly NodeState[] = ["live", "quiet", "stale", "discovering", "silent", "frozen", "lost", "left", "waiting", "banned"];

/** In the order of a column. Nodes without a value are last in both directions; equal ones keep their order. */
function sorted(nodes: Node[], column: Column, down: boolean): Node[] {
  if (column === "node") return down ? [...nodes].reverse() : nodes; // they come in natural order
  const now = clock();
  const key = (node: Node): string | number => {
    if (column === "board") return fact(node, "board");
    if (column === "last_seen") return node.lastSeen;
    if (column === "state") return STATES.indexOf(nodeState(state, node, now));
    const resource = node.resources.get(column.slice(1));
    return resource?.kind === "number" ? resource.value : parseFloat(resource?.text ?? "");
  };
  const isMissing = (value: string | number) => value === "" || Number.isNaN(value);
  const compare = (a: string | number, b: string | number): number => {
    if (isMissing(a) || isMissing(b)) return Number(isMissing(a)) - Number(isMissing(b));
    const order = typeof a === "string" ? natural(a, String(b)) : a < Number(b) ? -1 : a > Number(b) ? 1 : 0;
    return down ? -order : order;
  };
  return nodes
    .map((node): [string | number, Node] => [key(node), node])
    .sort(([a], [b]) => compare(a, b))
    .map(([, node]) => node);
}

/** In place of rows that are not on screen. */
const Space = ({ height }: { height: number }) => (
  <tr aria-hidden="true">
    <td style={{ height, padding: 0, border: 0 }} />
  </tr>
);

const Line = memo(function Line({ node, row, numbers }: { node: Node; row: number; numbers: string[] }) {
  void triggerOf(node).value;
  useLayoutEffect(() => {
    setVisible(node, true);
    return () => setVisible(node, false);
  }, [node]);
  const how = useNodeState(node);
  const chip = useStateText(node);
  const state_ = useComputed(() => chip.value || translate(`state.${how.value}`));
  const lastSeen = useComputed(() => (void clockOf(node).value, ago(clock() + state.offset - node.lastSeen)));
  return (
    <tr data-state={how} data-uid={node.uid} aria-rowindex={row} class="line">
      <th scope="row" data-tip="">
        <a {...nodeLink(node.uid)}>
          {nodeTitle(node)}
        </a>
        {plainTitle(node) !== node.uid && <span class="uid">{visible(node.uid)}</span>}
      </th>
      <td data-tip="">{visible(fact(node, "board"))}</td>
      <td>
        <span class="state-word">{state_}</span>
      </td>
      <td class="soft">{lastSeen}</td>
      {numbers.map((name) => {
        const resource = node.resources.get(name);
        return (
          <td key={name} class="numeric" data-tip="">
            {resource && <Cell resource={resource} />}
          </td>
        );
      })}
    </tr>
  );
});

function Cell({ resource }: { resource: Resource }) {
  void triggerOf(resource.node).value;
  const text = useComputed(() => {
    void triggerOf(resource).value;
    return textValue(resource);
  });
  const unit = useComputed(() => (void triggerOf(resource).value, visible(resource.unit)));
  const stale = useComputed(() => (void clockOf(resource.node).value, isStale(resource)));
  return (
    <span class="value" data-stale={stale}>
      {resource.kind === "number" ? <Digits resource={resource} /> : text} <span class="unit">{unit}</span>
    </span>
  );
}
