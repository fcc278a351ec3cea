// SPDX-License-Identifier: BSD-3-Clause
/** The nodes of the map and of floor plans, and what is written beside them. */
import { hasTerm } from "../../model/query";
import { findNode, nodeState, type Node } from "../../model/state";
import { query } from "../../route";
import { clock, offline, shown, state } from "../../store";
import { reasonText, translate } from "../../i18n";
import { sinceText } from "../Offline";
import { plans } from "./plans";

/** Those that match the search: nodes that are online, then those that are offline. */
export function nodesToPlace(): Node[] {
  const away = offline.value.filter((it) => it.state === "offline").flatMap(({ uid }) => findNode(state, uid) ?? []);
  return away.length ? [...shown.value, ...away] : shown.value;
}

/** "offline for 3 days" or another state in words; empty for states that have none. */
export function stateText(node: Node): string {
  const how = nodeState(state, node, clock());
  if (how === "live" || how === "quiet") return "";
  if (how === "left") return node.registered ? sinceText(node.registered) : reasonText(node.left?.reason);
  const word = translate(`filter.state.${how}`);
  return word.startsWith("filter.") ? "" : word;
}

/** How a node is drawn: offline nodes are faded. */
export function look(node: Node): "good" | "warn" | "off" {
  const how = nodeState(state, node, clock());
  if (how === "left") return "off";
  return how === "lost" || how === "stale" || how === "silent" ? "warn" : "good";
}

/** The room that the search names (`room:Kitchen`), if it has a floor plan. */
export const roomOfSearch = (): string => plans.value?.find(({ room }) => hasTerm(query.value, "room", room))?.room ?? "";
