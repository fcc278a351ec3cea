// SPDX-License-Identifier: BSD-3-Clause
/** Order, pins and groups; which rows of a long list are on screen; counts; commands to many. */
import { describe, expect, it } from "vitest";
import type { ResourceType, ToClient } from "../src/messages";
import { advance, begin, isDone, WINDOW, writable } from "../src/model/bulk";
import { fleetRows, visibleRows } from "../src/model/fleet";
import { newId } from "../src/model/ids";
import { arrange, groupsOf, isSame, move, ORDER_MAX, type Layout } from "../src/model/layout";
import { matches, parseQuery } from "../src/model/query";
import { newState, reduce, type Node, type State } from "../src/model/state";
import { summarise } from "../src/model/summary";
import { sentence } from "../src/model/text";
import names from "../../tests/model/names.json";

const PLAIN: Layout = { group: "", pins: [], order: [], value: "", range: "" };

function world(...messages: ToClient[]): State {
  const state = newState(1000);
  reduce(state, { type: "opened", legacy: false }, 0);
  for (const message of [...messages, { type: "joined", nodes: 0, ts: 1000 } as const]) reduce(state, message, 0);
  return state;
}

const online = (uid: string, more: object = {}): ToClient[] => [
  { type: "node", uid, state: "online", ...more },
  { type: "new", uid, ts: 1000, gateway: "roof" },
  { type: "update", uid, endpoint: "temperature", data: "20°C", ts: 1000 },
];
const nodesOf = (state: State): Node[] => [...state.nodes.values()];
const uids = (nodes: readonly Node[]) => nodes.map(({ uid }) => uid);
const named = (...names: string[]) => nodesOf(world(...names.flatMap((uid) => online(uid))));

describe("order", () => {
  it("pinned nodes come first, then those with a place, then the rest as they came", () => {
    const nodes = named("a", "b", "c", "d", "e");
    expect(uids(arrange(nodes, { pins: ["e"], order: ["d", "b"] }))).toEqual(["e", "d", "b", "a", "c"]);
    expect(arrange(nodes, PLAIN)).toBe(nodes);
  });

  it("a moved node fixes the places before it and no others", () => {
    const shown = ["a", "b", "c", "d", "e"];
    const moved = move(shown, PLAIN, "c", 0);
    expect(moved?.order).toEqual(["c", "a", "b"]);
    expect(uids(arrange(named("a", "aa", "b", "c", "d", "e"), moved as Layout))).toEqual(["c", "a", "b", "aa", "d", "e"]);
  });

  it("a move later fixes the places up to the new one", () => {
    expect(move(["a", "b", "c", "d"], PLAIN, "a", 2)?.order).toEqual(["b", "c", "a"]);
  });

  it("a second move keeps the places of the first", () => {
    const first = move(["a", "b", "c", "d"], PLAIN, "d", 0) as Layout;
    expect(move(["d", "a", "b", "c"], first, "b", 1)?.order).toEqual(["d", "b", "a", "c"]);
  });

  it("pinned nodes move among themselves", () => {
    const layout = { ...PLAIN, pins: ["a", "b"] };
    expect(move(["a", "b", "c"], layout, "b", 0)).toEqual({ ...layout, pins: ["b", "a"] });
    expect(move(["a", "b", "c"], layout, "b", 2)).toBeNull();
  });

  it("a node that the filter hides keeps its place", () => {
    const layout = { ...PLAIN, order: ["x", "b", "a"] };
    expect(move(["b", "a", "c"], layout, "a", 0)?.order).toEqual(["a", "b", "x"]);
  });

  it("a move to where it is, beyond the limit, or of an unknown node is none", () => {
    const many = Array.from({ length: ORDER_MAX + 2 }, (_, index) => `n${index}`);
    expect(move(["a", "b"], PLAIN, "a", 0)).toBeNull();
    expect(move(["a", "b"], PLAIN, "x", 0)).toBeNull();
    expect(move(many, PLAIN, "n0", ORDER_MAX)).toBeNull();
    expect(move(many, PLAIN, "n0", ORDER_MAX - 1)?.order).toHaveLength(ORDER_MAX);
  });

  it("layouts are compared by what they show", () => {
    expect([isSame(PLAIN, { ...PLAIN, pins: [] }), isSame(PLAIN, { ...PLAIN, pins: ["a"] }), isSame(PLAIN, { ...PLAIN, group: "room" })]).toEqual([true, false, false]);
  });
});

describe("groups", () => {
  const nodes = nodesOf(world(...online("a", { room: "Room 10", tags: ["x", "y"] }), ...online("b", { room: "Room 2" }), ...online("c", { tags: ["y"] })));

  it("rooms are in natural order, and nodes without one come last", () => {
    expect(groupsOf(nodes, "room").map(({ name, nodes: its }) => [name, uids(its)])).toEqual([["Room 2", ["b"]], ["Room 10", ["a"]], ["", ["c"]]]);
  });

  it("a node is in the group of each of its tags", () => {
    expect(groupsOf(nodes, "tag").map(({ name, nodes: its }) => [name, uids(its)])).toEqual([["x", ["a"]], ["y", ["a", "c"]], ["", ["b"]]]);
  });

  it("gateways are groups", () => {
    expect(groupsOf(nodes, "gateway").map(({ name, nodes: its }) => [name, its.length])).toEqual([["roof", 3]]);
  });
});

describe("rows of a fleet", () => {
  const nodes = Array.from({ length: 10_000 }, (_, index) => ({ uid: String(index) }) as Node);
  const heights = { tile: 36, head: 52 };
  const group = (its: Node[], isOpen = true, hasHead = true) => ({ name: "g", nodes: its, isOpen, hasHead });

  it("without groups, rows have the same height and all nodes", () => {
    const all = fleetRows([group(nodes, true, false)], 3, heights);
    expect([all.rows.length, all.height, all.nodes]).toEqual([3334, 3334 * 36, 10_000]);
    expect(all.rows[3333].nodes).toHaveLength(1);
  });

  it("only rows on screen are chosen, also the first and the last", () => {
    const all = fleetRows([group(nodes, true, false)], 3, heights);
    expect(visibleRows(all, -400, 900)).toEqual([0, 26]);
    expect(visibleRows(all, 36_000, 36_900)).toEqual([1000, 1026]);
    expect(visibleRows(all, all.height - 36, all.height + 900)).toEqual([3333, 3334]);
    expect(visibleRows(fleetRows([], 3, heights), 0, 900)).toEqual([0, 0]);
  });

  it("a closed group has its head only", () => {
    const all = fleetRows([group(nodes.slice(0, 5), false), group(nodes.slice(5, 10))], 2, heights);
    expect(all.rows.map(({ top, nodes: its, head }) => [top, its.length, head !== null])).toEqual([[0, 0, true], [52, 0, true], [104, 2, false], [140, 2, false], [176, 1, false]]);
    expect(all.rows[2].first).toBe(0);
  });
});

describe("summary", () => {
  const state = world(
    ...online("a"),
    ...online("b"),
    { type: "update", uid: "b", endpoint: "suit_state", data: "8", ts: 1000 },
    ...online("c"),
    ...online("d"),
    { type: "node", uid: "e", state: "offline", last_seen: 900 },
    { type: "node", uid: "f", state: "banned" },
    { type: "node", uid: "g", state: "waiting" },
  );
  reduce(state, { type: "out", uid: "c", reason: "silent" }, 1);
  reduce(state, { type: "out", uid: "d", reason: "gateway lost" }, 1);

  it("counts each node once, and no banned or waiting ones", () => {
    expect(summarise(state, 2)).toEqual({ online: 2, stale: 0, silent: 0, offline: 2, lost: 1, updateFailed: 1 });
  });

  it("each count is a filter with as many nodes", () => {
    const of = (query: string) => uids(nodesOf(state).filter((node) => matches(parseQuery(query), node, state, 2)));
    expect([of("state:online"), of("update:failed"), of("state:lost")]).toEqual([["a", "b"], ["b"], ["d"]]);
  });

  it("a value that is old makes a node stale", () => {
    expect(summarise(state, 500)).toMatchObject({ online: 2, stale: 2 });
  });
});

describe("commands to many", () => {
  const types = (uid: string, its: Record<string, ResourceType>): ToClient => ({ type: "describe", uid, types: its });
  const state = world(...["a", "b", "c"].flatMap((uid) => [...online(uid), types(uid, { relay: { kind: "boolean", writable: true } })]), types("a", { relay: { kind: "boolean", writable: true }, level: { kind: "number", writable: true } }));
  reduce(state, { type: "out", uid: "c", reason: "silent" }, 1);

  it("resources that may be written are found on nodes that are online", () => {
    expect([...writable(nodesOf(state))].map(([name, its]) => [name, its.map(({ node }) => node.uid)])).toEqual([["relay", ["a", "b"]], ["level", ["a"]]]);
  });

  it("receipts are counted, failed ones can be sent again, and only some are on the way at once", () => {
    const many = nodesOf(world(...Array.from({ length: 40 }, (_, n) => online(`n${n}`)).flat()));
    const resources = many.map(({ resources: its }) => its.get("temperature") as NonNullable<ReturnType<Node["resources"]["get"]>>);
    const progress = begin(resources);
    const send = (resource: (typeof resources)[number]) => {
      resource.command = { state: "pending" } as NonNullable<typeof resource.command>;
      return resource.node.uid !== "n3";
    };
    advance(progress, send);
    expect([progress.sent.size, progress.waiting.length, uids(progress.failed.map(({ node }) => node))]).toEqual([WINDOW, 40 - WINDOW - 1, ["n3"]]);
    expect(advance(progress, send)).toBe(false);
    for (let turn = 0; turn < 5; turn += 1) {
      for (const resource of progress.sent.keys()) if (resource.command) resource.command.state = resource.node.uid === "n7" ? "timeout" : "confirmed";
      advance(progress, send);
    }
    expect([progress.confirmed, uids(progress.failed.map(({ node }) => node)), isDone(progress)]).toEqual([38, ["n3", "n7"], true]);
  });
});

describe("names", () => {
  it.each(names)("%s is shown as %s", (name, shown) => {
    expect(sentence(name)).toBe(shown);
  });

  it("ids come from titles and are unlike those that are taken", () => {
    expect([newId("Été 3b!", [], "view"), newId("Lab", ["lab", "lab-2"], "view"), newId("温室", [], "view")]).toEqual(["e-te-3b", "lab-3", "view"]);
  });
});
