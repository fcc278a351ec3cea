// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { newState, nodeState, reduce, type State } from "../src/model/state";
import { pastNode } from "../src/model/pastNode";
import { branchesOf, DEVICES_SHOWN, findBoard, Growth, isSame, JOURNEYS_MAX, lastRefusals, peerHealth, Rates, type Journey, withJourney } from "../src/model/topology";

const T = 1_760_000_000;

function system(nodes: number): State {
  const state = newState(T);
  reduce(state, { type: "opened", legacy: false }, 0);
  reduce(state, { type: "gateway", name: "coap", protocol: "CoAP", state: "connected" }, 0);
  reduce(state, { type: "gateway", name: "mqtt", protocol: "MQTT", state: "lost" }, 0);
  for (let number = 0; number < nodes; number += 1) {
    reduce(state, { type: "new", uid: `n${number}`, gateway: "coap", ts: T }, 0);
    reduce(state, { type: "update", uid: `n${number}`, endpoint: "t", data: "1", ts: T }, 0);
  }
  reduce(state, { type: "joined", ts: T }, 0);
  return state;
}

describe("topology", () => {
  it("each gateway has its nodes, its rate and its health", () => {
    const state = system(20);
    reduce(state, { type: "update", uid: "n7", endpoint: "t", data: "2", ts: T - 500 }, 0);
    const rates = new Rates();
    for (let second = 0; second < 3; second += 1) {
      for (let number = 0; number < 4; number += 1) rates.add("n3");
      rates.tick();
    }
    const [coap, mqtt] = branchesOf(state, rates, 0);
    expect([coap.name, coap.online, coap.more, coap.rate, coap.health]).toEqual(["coap", 20, 20 - DEVICES_SHOWN, 4, "good"]);
    expect([mqtt.name, mqtt.online, mqtt.health]).toEqual(["mqtt", 0, "bad"]);
    const later = branchesOf(state, rates, 130)[0];
    expect([later.health, later.troubled]).toEqual(["warn", 20]);
  });

  it("nodes in trouble come first, in natural order", () => {
    const state = system(12);
    reduce(state, { type: "out", uid: "n10", reason: "silent" }, 0);
    const [coap] = branchesOf(state, new Rates(), 1);
    expect(coap.devices.slice(0, 4).map(({ node }) => node.uid)).toEqual(["n10", "n0", "n1", "n2"]);
    expect(coap.online).toBe(11);
  });

  it("a rate is of complete seconds, and ends", () => {
    const rates = new Rates();
    rates.add("a");
    expect([rates.of("a"), rates.isKnown]).toEqual([0, false]);
    rates.tick();
    expect(rates.isKnown).toBe(true);
    expect(rates.of("a")).toBe(1);
    for (let second = 0; second < 4; second += 1) rates.tick();
    expect(rates.of("a")).toBe(0);
  });

  const journey = (id: string, ts: number, more: Partial<Journey> = {}): Journey => ({ id, uid: "n", gateway: "coap", name: "led", payload: "1", ts, who: "", outcome: null, elapsed_ms: null, ...more });

  it("a journey changes with its receipt, and the list has an end", () => {
    let list: Journey[] = [];
    for (let number = 0; number < 40; number += 1) list = withJourney(list, journey(String(number), number));
    expect([list.length, list[0].id]).toEqual([JOURNEYS_MAX, "39"]);
    list = withJourney(list, journey("39", 39, { outcome: "confirmed" }));
    expect(list.filter(({ id }) => id === "39").map(({ outcome }) => outcome)).toEqual(["confirmed"]);
  });

  it("a stored command that this page sent is not a second one", () => {
    const stored = { uid: "n", resource: "led", payload: "1", ts: 10.4 };
    expect(isSame(journey("page-1", 10), stored)).toBe(true);
    expect(isSame(journey("page-1", 10), { ...stored, payload: null })).toBe(true);
    expect(isSame(journey("page-1", 10), { ...stored, payload: "0" })).toBe(false);
    expect(isSame(journey("page-1", 20), stored)).toBe(false);
  });

  it("a board is found by uid, address, refusal and topic", () => {
    const state = system(2);
    const nodes = [...state.nodes.values()].map((node) => ({ node, how: nodeState(state, node, 0), texts: [node.uid, "fe80::1"] }));
    const reports = [{ name: "coap", ignored: 1, ignored_topics: ["home/N1/x"], refused: 0, messages_refused: 1, refusals: ["post from fe80::1 refused: bad name"] }];
    expect(findBoard("n1", nodes, reports).map(({ kind }) => kind)).toEqual(["online", "topic"]);
    expect(findBoard("FE80", nodes, reports).map(({ kind }) => kind)).toEqual(["online", "online", "refused"]);
    expect(findBoard("bad name", nodes, reports)).toEqual([{ kind: "refused", gateway: "coap", text: "post from fe80::1 refused: bad name", ts: 0 }]);
    const timed = { ...reports[0], refusals: ["first", "last"], refusal_times: [5, 9] };
    expect(lastRefusals(timed)).toEqual([{ text: "last", ts: 9 }, { text: "first", ts: 5 }]);
    expect(findBoard(" ", nodes, reports)).toEqual([]);
    expect(findBoard("nothing", nodes, reports)).toEqual([]);
  });
});

describe("the brokers of a cluster", () => {
  it("that are late, joining or lost need attention", () => {
    const peer = { name: "b", address: "", version: "1", state: "online" as const, silent_s: 0, lag_s: 0.2 };
    expect([peer, { ...peer, lag_s: 6 }, { ...peer, state: "joining" as const }, { ...peer, state: "lost" as const }].map(peerHealth)).toEqual(["good", "warn", "warn", "bad"]);
  });
});

describe("a past node", () => {
  const past = (state: "online" | "offline" | null, since: number, ts: number) =>
    ({ uid: "n", state, since, reason: state === "offline" ? "silent" : "", resources: [{ name: "t", data: 21.5, value: 21.5, unit: "Cel", ts }, { name: "name", data: "Lamp", ts }] });

  it("has its values, its age and its state of then", () => {
    const state = { ...newState(0), joined: true, live: true, offset: T };
    const node = pastNode(state, past("online", T - 900, T - 3), undefined, T);
    expect([node.name, node.resources.get("t")?.digits, node.resources.get("t")?.unit, node.lastSeen]).toEqual(["Lamp", "21.5", "°C", T - 3]);
    expect(nodeState(state, node, 0)).toBe("live");
    pastNode(state, past("offline", T - 900, T - 1000), undefined, T);
    expect([nodeState(state, node, 0), node.left?.filed]).toEqual(["left", true]);
    pastNode(state, { ...past(null, 0, T - 1000), resources: [] }, undefined, T);
    expect([node.left, node.resources.size]).toEqual([null, 0]);
  });

  it("adds samples while it is played", () => {
    const state = { ...newState(0), joined: true, live: true, offset: T };
    const node = pastNode(state, past("online", T - 900, T - 3), undefined, T);
    pastNode(state, past("online", T - 900, T - 3), undefined, T + 1);
    pastNode(state, past("online", T - 900, T + 2), undefined, T + 2);
    expect(node.resources.get("t")?.ring?.length).toBe(2);
  });
});

describe("what the broker counts", () => {
  it("is a rate from the second answer on", () => {
    const grown = new Growth();
    grown.add("gateway a", 100, 10);
    expect(grown.of("gateway a")).toBeNull();
    grown.add("gateway a", 600, 15);
    expect(grown.of("gateway a")).toBe(100);
    expect(grown.of("gateway b")).toBeNull();
  });
  it("is unknown when it began again, and where the broker does not tell", () => {
    const grown = new Growth();
    grown.add("a", 100, 10);
    grown.add("a", 600, 15);
    grown.add("a", 5, 20);
    expect(grown.of("a")).toBeNull();
    grown.add("b", undefined, 10);
    grown.add("b", null, 15);
    expect(grown.of("b")).toBeNull();
  });
});
