// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { decode, type RegisteredNode, type ToClient } from "../src/messages";
import { hasTerm, matches, parseQuery, toggleTerm } from "../src/model/query";
import { findNode, isFiled, LEFT_S, newState, nodeState, reduce, tick, type LocalEvent, type Node, type State } from "../src/model/state";
import { nodeTitle } from "../src/model/text";
import { byLastSeen, byName } from "../src/model/order";

const OFFSET = 1_000_000;

function apply(state: State, now: number, ...messages: (ToClient | LocalEvent)[]): void {
  for (const message of messages) reduce(state, message, now);
}

function live(...before: ToClient[]): State {
  const state = newState(OFFSET);
  apply(state, 0, { type: "opened", legacy: false }, ...before, { type: "joined", nodes: 0, ts: OFFSET });
  return state;
}

const node = (uid: string, more: Partial<RegisteredNode> = {}): RegisteredNode => ({ type: "node", uid, state: "offline", ...more });
const online = (uid: string, more: Partial<RegisteredNode> = {}): ToClient[] => [
  node(uid, { state: "online", ...more }),
  { type: "new", uid, ts: OFFSET },
  { type: "update", uid, endpoint: "temperature", data: "20.0°C", value: 20, unit: "Cel", ts: OFFSET },
];

function found(state: State, uid: string): Node {
  const it = findNode(state, uid);
  if (!it) throw new Error(`no node ${uid}`);
  return it;
}

const filed = (state: State): string[] => [...state.registry.values()].filter((it) => isFiled(state, it)).map(({ uid }) => uid);

describe("messages of the registry", () => {
  it("a node and a forgotten node are messages; lists that are none are refused", () => {
    const { messages, wrong } = decode('[{"type":"node","uid":"a","state":"offline"},{"type":"forgotten","uid":"a"},{"type":"node","uid":"a","state":"offline","tags":7}]');
    expect([messages.length, wrong]).toEqual([2, 1]);
  });
});

describe("offline nodes", () => {
  const lamp = node("a", {
    last_seen: OFFSET - 259_200,
    gateway: "coap",
    reason: "silent",
    label: "Desk lamp",
    values: [
      { endpoint: "name", data: "Node 7", ts: OFFSET - 300_000 },
      { endpoint: "temperature", data: "23.5°C", value: 23.5, unit: "Cel", ts: OFFSET - 259_200 },
    ],
  });

  it("an offline node has its last values with their times, and no sample", () => {
    const state = live(lamp);
    const it = found(state, "a");
    expect(state.nodes.size).toBe(0); // it is no card
    expect(it.left).toMatchObject({ reason: "silent", ts: OFFSET - 259_200, filed: true });
    expect(it.resources.get("temperature")).toMatchObject({ digits: "23.5", unit: "°C", ts: OFFSET - 259_200, ring: null });
    expect([nodeState(state, it, 0), nodeTitle(it), it.name]).toEqual(["left", "Desk lamp", "Node 7"]);
    expect(filed(state)).toEqual(["a"]);
  });

  it("a node that leaves is a card for a minute, then in the list", () => {
    const state = live(...online("a"));
    apply(state, 1, { type: "out", uid: "a", reason: "silent" }, node("a", { reason: "silent" }));
    expect(filed(state)).toEqual([]);
    tick(state, LEFT_S + 2);
    expect(filed(state)).toEqual(["a"]);
    expect(found(state, "a").resources.get("temperature")?.ring?.length).toBe(2); // its samples, and a gap
  });

  it("a node that returns is a card again", () => {
    const state = live(lamp);
    found(state, "a");
    apply(state, 5, ...online("a", { label: "Desk lamp" }));
    expect(filed(state)).toEqual([]);
    expect(found(state, "a").left).toBeNull();
    expect(nodeTitle(found(state, "a"))).toBe("Desk lamp");
    expect(state.activity[0].what).toBe("event.returned");
  });

  it("a forgotten node is gone, also one that is still a card", () => {
    const state = live(lamp, ...online("b"));
    apply(state, 1, { type: "out", uid: "b" }, node("b"), { type: "forgotten", uid: "a" }, { type: "forgotten", uid: "b" });
    expect([findNode(state, "a"), findNode(state, "b"), state.registry.size]).toEqual([undefined, undefined, 0]);
  });

  it("what was forgotten while the broker was lost is gone after the return", () => {
    const state = live(lamp, node("b"));
    apply(state, 1, { type: "lost", reason: "" }, { type: "opened", legacy: false }, node("b"), { type: "joined", ts: OFFSET + 1 });
    expect([...state.registry.keys()]).toEqual(["b"]);
  });

  it("a node of which nothing is known is found nowhere", () => {
    expect(findNode(live(), "a")).toBeUndefined();
    expect(findNode(live(node("a", { state: "online" })), "a")).toBeUndefined(); // its `new` comes next
  });

  it("invalid members of a record do no harm", () => {
    const state = live({ type: "node", uid: "a", state: "offline", label: 7, tags: [1, "x"], values: [null, { endpoint: "led", data: "1" }] } as unknown as ToClient);
    expect(state.registry.get("a")).toMatchObject({ label: "", tags: ["x"] });
    expect(found(state, "a").resources.get("led")?.ts).toBe(0);
  });
});

describe("admission", () => {
  it("a node that waits is no card, is found with its values, and is announced", () => {
    const state = live();
    const values = [{ endpoint: "led", data: "0", ts: OFFSET }];
    apply(state, 1, node("a", { state: "waiting", values }), node("a", { state: "waiting", values }));
    expect([state.nodes.size, nodeState(state, found(state, "a"), 1), found(state, "a").resources.get("led")?.text]).toEqual([0, "waiting", "0"]);
    expect(state.activity.filter(({ what }) => what === "event.waiting")).toHaveLength(1);
  });

  it("an accepted node is a card", () => {
    const state = live(node("a", { state: "waiting" }));
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 }, node("a", { state: "online" }));
    expect(nodeState(state, found(state, "a"), 1)).toBe("discovering");
  });

  it("a banned node leaves the cards at once", () => {
    const state = live(...online("a"));
    apply(state, 1, { type: "out", uid: "a", reason: "left" }, node("a", { state: "banned" }));
    expect([nodeState(state, found(state, "a"), 1), filed(state)]).toEqual(["banned", ["a"]]);
  });
});

describe("what people added", () => {
  it("an edit changes the node, and its place in the order", () => {
    const state = live(...online("b"), ...online("a"));
    const before = state.membership;
    apply(state, 1, node("b", { state: "online", label: "A lamp", room: "Lab", tags: ["x"], revision: 1 }));
    expect(found(state, "b").registered).toMatchObject({ label: "A lamp", room: "Lab", revision: 1 });
    expect(state.membership).toBeGreaterThan(before);
    expect(state.reshaped.has(found(state, "b"))).toBe(true);
    expect([...state.nodes.values()].sort(byName).map(({ uid }) => uid)).toEqual(["a", "b"]);
  });

  it("a node with an interval of its own is stale after two and a half intervals", () => {
    const state = live(...online("slow", { interval: 900 }), ...online("fast", { interval: 2 }), ...online("plain"));
    const at = (now: number) => ["slow", "fast", "plain"].map((uid) => nodeState(state, found(state, uid), now));
    expect(at(6)).toEqual(["live", "stale", "live"]);
    expect(at(130)).toEqual(["live", "stale", "stale"]);
    expect(at(2200)).toEqual(["quiet", "stale", "stale"]);
    expect(at(2251)).toEqual(["stale", "stale", "stale"]);
  });

  it("the search looks at label, room, tags and uid", () => {
    const state = live(node("F1A9", { label: "Desk lamp", room: "Lab 1", tags: ["class 3b", "lamps"] }), node("other"));
    const search = (text: string) => [...state.registry.keys()].filter((uid) => matches(parseQuery(text), found(state, uid), state, 0));
    for (const text of ["desk", '"lab 1"', "lamps", "f1a9", "tag:lamps", 'tag:"class 3b"', 'room:"lab 1"', "label:lamp", "state:offline label:desk"])
      expect([text, search(text)]).toEqual([text, ["F1A9"]]);
    expect(search("-tag:lamps")).toEqual(["other"]);
    expect(search("tag:lamp")).toEqual([]);
  });

  it("a tag is added to the search and taken out, beside the rest", () => {
    const one = toggleTerm("temp>25", "tag", "class 3b");
    expect(one).toBe('temp>25 tag:"class 3b"');
    const two = toggleTerm(one, "tag", "lamps");
    expect([hasTerm(two, "tag", "class 3b"), hasTerm(two, "tag", "Lamps"), hasTerm(two, "tag", "x")]).toEqual([true, true, false]);
    expect(toggleTerm(two, "tag", "class 3b")).toBe("temp>25 tag:lamps");
    expect(toggleTerm("tag:lamps", "tag", "lamps")).toBe("");
  });
});

describe("the order of offline nodes", () => {
  const seen = (lastSeen: number, uid: string, label = "") => ({ uid, label, lastSeen });

  it("is the latest first, and by name within a minute", () => {
    const rows = [seen(0, "c10"), seen(125, "z", "Desk 10"), seen(0, "c9"), seen(121, "y", "Desk 9"), seen(179.9, "desk 11"), seen(180, "x")];
    expect(rows.sort(byLastSeen).map((it) => it.uid)).toEqual(["x", "y", "z", "desk 11", "c9", "c10"]);
  });
});
