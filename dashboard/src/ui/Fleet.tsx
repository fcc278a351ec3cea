// SPDX-License-Identifier: BSD-3-Clause
/** Many nodes, one line each: state, name, the value that matters, sparkline. Only rows on screen exist. */
import { useComputed, useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { layout } from "../layout";
import { fleetRows, visibleRows, type FleetRow } from "../model/fleet";
import type { Node, Resource } from "../model/state";
import { nodeTitle, visible } from "../model/text";
import { nodeLink } from "../route";
import { settings } from "../settings";
import { hovered, setVisible, triggerOf } from "../store";
import { shownResources, useNodeState, useStateText } from "./Card";
import { GroupHead, isClosed, sections } from "./groups";
import { Icon } from "./icons";
import { Digits, Spark, isStale, textValue } from "./rows";
import { clockOf } from "../store";
import { translate, t } from "../i18n";
import "../fleet.css";

const TILE_PX = 36;
const TOUCH_TILE_PX = 48;
const HEAD_PX = 52;
const TILE_WIDTH_PX = 310;
const GAP_PX = 10;
/** Rows that are drawn beyond the screen, where the list is scrolled to and where it comes from. */
const AHEAD_PX = 400;
const BEHIND_PX = 80;
/** The range is computed in steps, so that most frames of a scroll draw nothing. */
const STEP_PX = 144;

const coarse = matchMedia("(pointer: coarse)");

export function Fleet({ nodes }: { nodes: Node[] }) {
  const place = useRef<HTMLDivElement>(null);
  const width = useSignal(0);
  /** Heights that are on screen, relative to the list. */
  const from = useSignal(0);
  const to = useSignal(1200);
  /** The row with the keyboard's focus stays, also out of sight. */
  const focused = useSignal(-1);
  const columns = Math.max(1, Math.floor((width.value + GAP_PX) / (TILE_WIDTH_PX + GAP_PX)));
  const its = layout.value;
  const closed = settings.closedGroups.value;
  const all = useMemo(
    () =>
      fleetRows(
        sections(nodes, its).map((section) => ({ ...section, isOpen: !section.hasHead || !isClosed(section.key, closed) })),
        columns,
        { tile: coarse.matches ? TOUCH_TILE_PX : TILE_PX, head: HEAD_PX },
      ),
    [nodes, its, columns, closed],
  );
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    let before = 0;
    let isDown = true;
    const look = () => {
      const { top } = element.getBoundingClientRect();
      if (top !== before) isDown = top < before;
      before = top;
      from.value = Math.floor((-top - (isDown ? BEHIND_PX : AHEAD_PX)) / STEP_PX) * STEP_PX;
      to.value = Math.ceil((innerHeight - top + (isDown ? AHEAD_PX : BEHIND_PX)) / STEP_PX) * STEP_PX;
    };
    const measure = () => {
      width.value = element.clientWidth;
      look();
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      observer.disconnect();
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, []);
  const [first, end] = visibleRows(all, from.value, to.value);
  const indices = Array.from({ length: end - first }, (_, index) => first + index);
  const kept = focused.value;
  if (kept >= 0 && kept < all.rows.length && (kept < first || kept >= end)) indices.push(kept);
  return (
    <div
      ref={place}
      id="nodes"
      class="fleet"
      style={{ height: all.height, "--columns": columns }}
      onFocusIn={(event) => (focused.value = Number((event.target as Element).closest<HTMLElement>("[data-row]")?.dataset.row ?? -1))}
      onFocusOut={() => (focused.value = -1)}
    >
      {width.value > 0 && indices.map((index) => <Row key={index} row={all.rows[index]} index={index} total={all.nodes} />)}
    </div>
  );
}

const Row = memo(function Row({ row, index, total }: { row: FleetRow; index: number; total: number }) {
  const { top, nodes, first, head } = row;
  return (
    <div class="fleet-row" role={head ? undefined : "list"} data-row={index} style={{ top }}>
      {head && <GroupHead section={head} />}
      {nodes.map((node, place) => (
        <Tile key={node.uid} node={node} place={first + place + 1} total={total} />
      ))}
    </div>
  );
});

const Tile = memo(function Tile({ node, place, total }: { node: Node; place: number; total: number }) {
  void triggerOf(node).value;
  useLayoutEffect(() => {
    setVisible(node, true);
    return () => setVisible(node, false);
  }, [node]);
  const how = useNodeState(node);
  const chip = useStateText(node);
  const word = useComputed(() => (how.value === "live" ? "" : chip.value || translate(`state.${how.value}`)));
  const title = nodeTitle(node);
  const resource = shownResource(node);
  const isPinned = layout.value.pins.includes(node.uid);
  return (
    <div class="tile" role="listitem" aria-posinset={place} aria-setsize={total} data-uid={node.uid} data-state={how} onMouseEnter={() => (hovered.value = node)} onMouseLeave={() => (hovered.value = null)}>
      <a
        data-tip={`${title}\n${visible(node.uid)}`}
        {...nodeLink(node.uid)}
      >
        {isPinned && <Icon name="pin" />}
        {title}
      </a>
      <span class="state-word" data-tip="">
        {word}
        {how.value === "live" && <span class="visually-hidden">{t("filter.state.live")}</span>}
      </span>
      {resource ? <Value key={resource.name} resource={resource} /> : <span />}
    </div>
  );
});

/** The chosen resource, or the first one that a card would show. */
function shownResource(node: Node): Resource | undefined {
  const { value } = layout.value;
  return value ? node.resources.get(value) : shownResources(node)[0];
}

function Value({ resource }: { resource: Resource }) {
  const text = useComputed(() => (void triggerOf(resource).value, textValue(resource)));
  const unit = useComputed(() => (void triggerOf(resource).value, visible(resource.unit)));
  const stale = useComputed(() => (void clockOf(resource.node).value, void triggerOf(resource).value, isStale(resource)));
  const hasValue = useComputed(() => (void triggerOf(resource).value, resource.digits !== ""));
  const isNumber = resource.kind === "number";
  return (
    <>
      <span class="value" data-stale={stale} data-tip={isNumber ? undefined : ""}>
        {isNumber ? <Digits resource={resource} /> : text} {isNumber && hasValue.value && <span class="unit">{unit}</span>}
      </span>
      {isNumber && <Spark resource={resource} waits />}
    </>
  );
}
