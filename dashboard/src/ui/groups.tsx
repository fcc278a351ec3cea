// SPDX-License-Identifier: BSD-3-Clause
/** Sections of nodes with heads that close and open them: groups, and pinned nodes before them. */
import { groupsOf, type Layout, type NodeGroup } from "../model/layout";
import type { Node } from "../model/state";
import { quote } from "../model/text";
import { settings } from "../settings";
import { formatNumber, t } from "../i18n";

export interface Section extends NodeGroup {
  /** Of the list of closed groups. */
  key: string;
  hasHead: boolean;
}

const PINNED = "pinned:";

export function sections(nodes: Node[], { group, pins }: Layout): Section[] {
  if (!group) return [{ key: "", name: "", nodes, hasHead: false }];
  const isPinned = ({ uid }: Node) => pins.includes(uid);
  const pinned = pins.length ? nodes.filter(isPinned) : [];
  const others = pinned.length ? nodes.filter((node) => !isPinned(node)) : nodes;
  const found = groupsOf(others, group).map((it): Section => ({ ...it, key: `${group}:${it.name}`, hasHead: true }));
  return pinned.length ? [{ key: PINNED, name: "", nodes: pinned, hasHead: true }, ...found] : found;
}

export const isClosed = (key: string, closed = settings.closedGroups.value): boolean => closed.includes(key);

export const sectionTitle = ({ key, name }: Section): string => {
  if (key === PINNED) return t("group.pinned");
  if (name) return key.startsWith("tag:") ? `#${quote(name)}` : quote(name);
  return t(key.startsWith("room") ? "rooms.none" : key.startsWith("tag") ? "group.no_tag" : "group.no_gateway");
};

const CLOSED_MAX = 200;

export function GroupHead({ section }: { section: NodeGroup }) {
  const its = section as Section;
  const closed = isClosed(its.key);
  const left = its.nodes.filter((node) => node.left).length;
  const toggle = () => {
    const others = settings.closedGroups.peek().filter((key) => key !== its.key);
    settings.closedGroups.value = closed ? others : [...others, its.key].slice(-CLOSED_MAX);
  };
  return (
    <h2 class="room">
      <button type="button" class="group-head" aria-expanded={!closed} onClick={toggle}>
        <span data-tip="">{sectionTitle(its)}</span> <span class="count">{formatNumber(its.nodes.length)}</span>
        {left > 0 && (
          <span class="soft">
            {" "}
            · {formatNumber(left)} {t("filter.state.left").toLocaleLowerCase()}
          </span>
        )}
      </button>
    </h2>
  );
}
