// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import type { ToClient } from "../src/messages";
import {
  ACTIVITY_MAX,
  COMMANDS_MAX,
  FORGOTTEN_S,
  LEFT_MAX,
  newState,
  nodeState,
  RAW_MAX,
  reduce,
  tick,
  type Node,
  type LocalEvent,
  type Resource,
  type State,
} from "../src/model/state";

const OFFSET = 1_000_000;

/** A page that is live, at its own time 0. */
function live(legacy = false): State {
  const state = newState(OFFSET);
  apply(state, 0, { type: "opened", legacy }, { type: "joined", nodes: 0, ts: OFFSET });
  return state;
}

function apply(state: State, now: number, ...messages: (ToClient | LocalEvent)[]): void {
  for (const message of messages) reduce(state, message, now);
}

const update = (uid: string, endpoint: string, data: unknown, more: Partial<ToClient> = {}): ToClient =>
  ({ type: "update", uid, endpoint, data, ...more }) as ToClient;

function nodeOf(state: State, uid: string): Node {
  const node = state.nodes.get(uid);
  if (!node) throw new Error(`no node ${uid}`);
  return node;
}

function resourceOf(state: State, uid: string, name: string): Resource {
  const resource = nodeOf(state, uid).resources.get(name);
  if (!resource) throw new Error(`no resource ${name}`);
  return resource;
}

describe("retained values and ignored topics", () => {
  it("a retained value has no age, no sample, and is no sign of life", () => {
    const state = live();
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 });
    apply(state, 50, update("a", "temperature", "20.0°C", { retained: true, value: 20, unit: "Cel" }));
    const it = resourceOf(state, "a", "temperature");
    expect([it.digits, it.ts, it.ring, nodeOf(state, "a").lastSeen]).toEqual(["20.0", 0, null, OFFSET + 1]);
    apply(state, 60, update("a", "temperature", "21.0°C", { ts: OFFSET + 60, value: 21, unit: "Cel" }));
    expect([it.digits, it.ts, it.ring?.length, nodeOf(state, "a").lastSeen]).toEqual(["21.0", OFFSET + 60, 1, OFFSET + 60]);
  });

  it("ignored messages belong to their gateway until it is lost", () => {
    const state = live();
    const gateway = { type: "gateway", name: "mqtt", protocol: "MQTT", state: "connected" } as const;
    apply(state, 1, gateway, { type: "ignored", gateway: "mqtt", count: 12, topic: "home/x", topics: ["home/y", "home/x"] }, gateway);
    expect(state.gateways.get("mqtt")?.ignored).toEqual({ count: 12, topic: "home/x", topics: ["home/y", "home/x"] });
    expect(state.gateways.get("mqtt")?.refused).toEqual({ count: 0, refusal: "" });
    apply(state, 2, { ...gateway, state: "lost" }, { type: "ignored", gateway: "other", count: 1, topic: "x" });
    expect(state.gateways.get("mqtt")?.ignored).toBe(null);
  });
});

describe("readings", () => {
  it("a reading makes node, resource, number and sample", () => {
    const state = live();
    apply(state, 1, update("a", "temperature", "23.50°C", { ts: OFFSET + 1, value: 23.5, unit: "Cel" }));
    const it = resourceOf(state, "a", "temperature");
    expect([it.kind, it.digits, it.unit, it.value, it.ring?.length]).toEqual(["number", "23.50", "°C", 23.5, 1]);
  });

  it("a reading repeated after a reconnect adds no sample", () => {
    const state = live();
    const message = update("a", "temperature", "23.5°C", { ts: OFFSET + 1, value: 23.5, unit: "Cel" });
    apply(state, 1, message, message);
    expect(resourceOf(state, "a", "temperature").ring?.length).toBe(1);
  });

  it("an unchanged value counts as received again", () => {
    const state = live();
    apply(state, 1, update("a", "led", "1", { ts: OFFSET + 1 }));
    apply(state, 30, update("a", "led", "1", { ts: OFFSET + 30 }));
    expect(resourceOf(state, "a", "led").ts).toBe(OFFSET + 30);
  });

  it("text in place of a number keeps the last number and marks it", () => {
    const state = live();
    apply(state, 1, update("a", "temperature", "23.5°C", { value: 23.5, unit: "Cel" }), update("a", "temperature", "--327.-6°C"));
    const it = resourceOf(state, "a", "temperature");
    expect([it.digits, it.unread]).toEqual(["23.5", "--327.-6°C"]);
    expect(it.ring?.value(1)).toBeNaN();
  });

  it("with a legacy broker the page parses numbers", () => {
    const state = live(true);
    apply(state, 1, update("a", "/temperature", "23.5°C"), update("a", "version", "2026.07"));
    expect(resourceOf(state, "a", "temperature")).toMatchObject({ kind: "number", value: 23.5, endpoint: "/temperature" });
    expect(resourceOf(state, "a", "version").kind).toBe("text");
  });

  it("object property names are valid node and resource names", () => {
    const state = live();
    for (const name of ["__proto__", "constructor", "toString"]) apply(state, 1, update(name, name, name));
    expect([...state.nodes.keys()]).toEqual(["__proto__", "constructor", "toString"]);
    expect(resourceOf(state, "__proto__", "__proto__").text).toBe("__proto__");
  });

  it("vectors of an inertial sensor may arrive separately", () => {
    const state = live();
    apply(state, 1, update("a", "imu", '[{"type":"acc","values":[304,488,448]}]'), update("a", "imu", '[{"type":"gyro","values":[1,0,0]}]'));
    const { vectors } = resourceOf(state, "a", "imu");
    expect(vectors?.get("acc")?.values).toEqual([304, 488, 448]);
    expect(vectors?.get("gyro")?.values).toEqual([1, 0, 0]);
  });

  it("an invalid position stays text", () => {
    const state = live();
    apply(state, 1, update("a", "position", '{"lat":48.7,"lng":2.2}'), update("b", "position", '{"lat":480,"lng":2}'), update("c", "position", "["));
    expect(nodeOf(state, "a").position).toEqual({ lat: 48.7, lng: 2.2 });
    expect(nodeOf(state, "b").position).toBeNull();
    expect(nodeOf(state, "c").position).toBeNull();
  });

  it("each change is collected once", () => {
    const state = live();
    apply(state, 1, update("a", "x", "1"), update("a", "x", "2"), update("a", "y", "1"));
    expect(state.changed.map(({ name }) => name)).toEqual(["x", "y"]);
  });
});

describe("time online", () => {
  const joining = (): State => {
    const state = newState(OFFSET);
    apply(state, 0, { type: "opened", legacy: false });
    return state;
  };

  it("a value that overtakes the snapshot does not decide since when a node is online", () => {
    const state = joining();
    apply(state, 1, update("a", "temperature", "20.0°C", { ts: OFFSET + 1, value: 20, unit: "Cel" }));
    expect(nodeOf(state, "a").since).toBe(0); // not known yet
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET - 7200, gateway: "coap" }, { type: "joined", ts: OFFSET + 1 });
    expect(nodeOf(state, "a")).toMatchObject({ since: OFFSET - 7200, lastSeen: OFFSET + 1, gateway: "coap", fresh: false });
  });

  it("the snapshot after a lost link corrects it too", () => {
    const state = live();
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 });
    apply(state, 2, { type: "lost", reason: "" }, { type: "opened", legacy: false });
    apply(state, 9, update("a", "x", "1", { ts: OFFSET + 9 }), { type: "new", uid: "a", ts: OFFSET + 5 }, { type: "joined", ts: OFFSET + 9 });
    expect(nodeOf(state, "a").since).toBe(OFFSET + 5);
  });

  it("a reboot is not a new time online, as a later load shows it", () => {
    const state = live();
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 }, update("a", "x", "1", { ts: OFFSET + 1 }));
    apply(state, 50, { type: "reset", uid: "a", ts: OFFSET + 50 });
    expect(nodeOf(state, "a").since).toBe(OFFSET + 1);
  });

  it("a node that returns is online since then", () => {
    const state = live();
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 });
    apply(state, 5, { type: "out", uid: "a" }, update("a", "x", "1", { ts: OFFSET + 5 }));
    expect(nodeOf(state, "a").since).toBe(0);
    apply(state, 6, { type: "new", uid: "a", ts: OFFSET + 6 });
    expect(nodeOf(state, "a").since).toBe(OFFSET + 6);
  });

  it("a legacy broker tells no time: it is known for nodes that appear later only", () => {
    const state = newState(OFFSET);
    apply(state, 0, { type: "opened", legacy: true }, { type: "new", uid: "a" }, update("a", "x", "1"), { type: "joined" });
    apply(state, 10, { type: "new", uid: "b" });
    expect([nodeOf(state, "a").since, nodeOf(state, "b").since]).toEqual([0, OFFSET + 10]);
  });

  it("without it, discovery counts from the first message", () => {
    const state = newState(OFFSET);
    apply(state, 0, { type: "opened", legacy: true }, { type: "new", uid: "a" }, { type: "joined" });
    const node = nodeOf(state, "a");
    expect([1, 20].map((now) => nodeState(state, node, now))).toEqual(["discovering", "silent"]);
  });
});

describe("a clock that is ahead", () => {
  it("does not keep a silent node alive", () => {
    const state = live();
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 }, update("a", "x", "1", { ts: OFFSET + 3600 }));
    expect(nodeOf(state, "a").lastSeen).toBe(OFFSET + 1);
    expect(nodeState(state, nodeOf(state, "a"), 200)).toBe("stale");
    expect(resourceOf(state, "a", "x").ts).toBe(OFFSET + 3600); // shown as it was sent
  });

  it("neither in the snapshot, when the page's own clock is wrong", () => {
    const state = newState(OFFSET - 3600);
    apply(state, 0, { type: "opened", legacy: false }, { type: "new", uid: "a", ts: OFFSET - 50 });
    apply(state, 0, update("a", "x", "1", { ts: OFFSET - 2 }), update("b", "x", "1", { ts: OFFSET + 3600 }), { type: "joined", ts: OFFSET });
    expect(["a", "b"].map((uid) => nodeOf(state, uid).lastSeen)).toEqual([OFFSET - 2, OFFSET]);
  });
});

describe("state of a node", () => {
  it("it is discovering for 15 s, then silent", () => {
    const state = live();
    apply(state, 1, { type: "new", uid: "a", ts: OFFSET + 1 }, update("a", "protocol", "CoAP", { ts: OFFSET + 1 }));
    const node = nodeOf(state, "a");
    expect(nodeState(state, node, 2)).toBe("discovering");
    expect(nodeState(state, node, 17)).toBe("silent");
  });

  it("it is live, quiet, then stale", () => {
    const state = live();
    apply(state, 1, update("a", "x", "1", { ts: OFFSET + 1 }));
    const node = nodeOf(state, "a");
    expect([2, 60, 122].map((now) => nodeState(state, node, now))).toEqual(["live", "quiet", "stale"]);
  });

  it("it left with a reason, or is lost with its gateway", () => {
    const state = live();
    apply(state, 1, update("a", "x", "1"), update("b", "x", "1"));
    apply(state, 2, { type: "out", uid: "a", reason: "silent" }, { type: "out", uid: "b", reason: "gateway lost" });
    expect(nodeState(state, nodeOf(state, "a"), 3)).toBe("left");
    expect(nodeState(state, nodeOf(state, "b"), 3)).toBe("lost");
    expect(nodeOf(state, "a").left?.reason).toBe("silent");
  });

  it("offline nodes are kept up to a limit, and the oldest is dropped first", () => {
    const state = live();
    for (let n = 0; n <= LEFT_MAX; n += 1) apply(state, n, update(`n${n}`, "x", "1"), { type: "out", uid: `n${n}` });
    expect(state.nodes.size).toBe(LEFT_MAX);
    expect(state.nodes.has("n0")).toBe(false);
  });

  it("after a reboot its values are outdated, and those that are not sent again are removed", () => {
    const state = live();
    apply(state, 1, update("a", "x", "1"), update("a", "y", "1"));
    apply(state, 2, { type: "reset", uid: "a" });
    apply(state, 3, update("a", "x", "2"));
    tick(state, 3 + FORGOTTEN_S);
    expect([...nodeOf(state, "a").resources.keys()]).toEqual(["x"]);
  });
});

describe("commands", () => {
  const issue = (state: State, now: number, payload = "1", id = "page-1"): Resource => {
    const resource = resourceOf(state, "a", "led");
    apply(state, now, { type: "command_sent", id, resource, payload });
    return resource;
  };

  it("the value changes only when the node reports another", () => {
    const state = live();
    apply(state, 1, update("a", "led", "0"));
    const led = issue(state, 2);
    expect([led.text, led.command?.state]).toEqual(["0", "pending"]);
    apply(state, 3, { type: "receipt", id: "page-1", state: "refused", detail: "4.00" });
    expect([led.text, led.command?.state, led.command?.detail]).toEqual(["0", "refused", "4.00"]);
  });

  it("a confirmation sets the value if the node did not report it", () => {
    const state = live();
    apply(state, 1, update("a", "led", "0"));
    const led = issue(state, 2);
    apply(state, 2.1, { type: "receipt", id: "page-1", state: "confirmed", elapsed_ms: 12 });
    expect([led.text, led.command?.elapsed_ms]).toEqual(["1", 12]);
  });

  it("without a receipt before the deadline the command times out", () => {
    const state = live();
    apply(state, 1, update("a", "led", "0"));
    const led = issue(state, 2);
    tick(state, 8);
    expect(led.command?.state).toBe("pending");
    tick(state, 10);
    expect(led.command?.state).toBe("timeout");
    expect(led.text).toBe("0");
  });

  it("with a legacy broker the reported value confirms", () => {
    const state = live(true);
    apply(state, 1, update("a", "/led", "0"));
    const led = issue(state, 2);
    apply(state, 2.5, update("a", "/led", "1"));
    expect(led.command?.state).toBe("confirmed");
  });

  it("a lost broker ends pending commands with an unknown outcome", () => {
    const state = live();
    apply(state, 1, update("a", "led", "0"));
    const led = issue(state, 2);
    apply(state, 3, { type: "lost", reason: "" });
    expect([led.command?.state, state.commands.size, nodeState(state, nodeOf(state, "a"), 3)]).toEqual(["lost", 0, "frozen"]);
  });

  it("the lists of commands are bounded", () => {
    const state = live();
    apply(state, 1, update("a", "led", "0"));
    for (let n = 0; n < 400; n += 1) {
      issue(state, n, "1", `page-${n}`);
      apply(state, n, { type: "receipt", id: `page-${n}`, state: "confirmed" }, update("a", "led", "1"));
    }
    const node = nodeOf(state, "a");
    expect([node.log.length, node.raw.length, state.activity.length]).toEqual([COMMANDS_MAX, RAW_MAX, ACTIVITY_MAX]);
  });
});

describe("the link", () => {
  it("a node that does not return has left meanwhile; charts have a gap", () => {
    const state = live();
    const reading = (ts: number) => update("a", "t", "1°C", { ts, value: 1, unit: "Cel" });
    apply(state, 1, reading(OFFSET + 1), update("b", "x", "1"));
    apply(state, 5, { type: "lost", reason: "" }, { type: "opened", legacy: false });
    apply(state, 43, reading(OFFSET + 43), { type: "joined", nodes: 1, ts: OFFSET + 43 });
    expect(nodeOf(state, "b").left?.reason).toBe("left while the broker was lost");
    const { ring } = resourceOf(state, "a", "t");
    expect([ring?.value(0), ring?.value(1), ring?.value(2)]).toEqual([1, NaN, 1]);
  });

  it("gateways that do not return are removed", () => {
    const state = live();
    apply(state, 1, { type: "gateway", name: "coap", state: "connected" });
    apply(state, 2, { type: "lost", reason: "" }, { type: "opened", legacy: false }, { type: "joined", ts: OFFSET + 2 });
    expect(state.gateways.size).toBe(0);
  });

  it("the broker's clock is taken from its messages", () => {
    const state = live();
    apply(state, 10, { type: "joined", ts: 5000 });
    expect(state.offset).toBe(4990);
  });
});
