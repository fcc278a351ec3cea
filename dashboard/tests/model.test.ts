// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { withGaps } from "../src/series";
import { decode } from "../src/messages";
import { firmware } from "../src/model/firmware";
import { Orientation } from "../src/model/orientation";
import { matches, parseQuery, termOf, withTerm } from "../src/model/query";
import { readPosition, readQuantity, readVectors } from "../src/model/readings";
import { Ring } from "../src/model/ring";
import { newState, reduce, type State } from "../src/model/state";
import { en as first } from "../src/i18n/en";
import { more } from "../src/i18n/more";
import { de } from "../src/i18n/de";
import { fr } from "../src/i18n/fr";
import { formatAge, formatDuration } from "../src/i18n/ages";

const en = { ...first, ...more };

describe("frames", () => {
  it("an array and a single message are both read", () => {
    expect(decode('[{"type":"new","uid":"a"}]').messages).toHaveLength(1);
    expect(decode('{"type":"out","uid":"a"}').messages).toHaveLength(1);
  });

  it("invalid messages are counted, and the others are kept", () => {
    const { messages, wrong } = decode('[{"type":"update"},null,7,{"type":"new"},{"type":"later","uid":"a"},{"type":"new","uid":"a"}]');
    expect([messages.length, wrong]).toEqual([1, 5]);
  });

  it("a frame that is not JSON is refused", () => {
    expect(() => decode("{")).toThrow();
  });
});

describe("rings", () => {
  it("keeps the latest samples in order", () => {
    const ring = new Ring(4);
    for (let n = 0; n < 6; n += 1) ring.push(n, n * 10);
    expect([0, 1, 2, 3].map((n) => [ring.time(n), ring.value(n)])).toEqual([[2, 20], [3, 30], [4, 40], [5, 50]]);
    expect(ring.range()).toEqual([20, 50]);
  });

  it("a gap is recorded once, and never first", () => {
    const ring = new Ring(4);
    ring.gap(0);
    ring.push(1, 5);
    ring.gap(2);
    ring.gap(3);
    expect(ring.length).toBe(2);
    expect(ring.range()).toEqual([5, 5]);
  });

  it("grows with its contents", () => {
    const ring = new Ring(3);
    for (let n = 0; n < 5; n += 1) ring.push(n, n);
    ring.grow(6);
    ring.push(5, 5);
    expect(Array.from({ length: ring.length }, (_, n) => ring.value(n))).toEqual([2, 3, 4, 5]);
  });
});

describe("sparklines with stored samples", () => {
  const all = (ring: Ring) => Array.from({ length: ring.length }, (_, n) => [ring.time(n), ring.value(n)]);

  it("older samples are prepended; without room, only the latest of them", () => {
    const ring = new Ring(4);
    ring.push(8, 80);
    ring.push(9, 90);
    ring.precede([[5, 50], [6, 60], [7, 70]]);
    ring.push(10, 100);
    expect(all(ring)).toEqual([[7, 70], [8, 80], [9, 90], [10, 100]]);
  });

  it("a full ring does not change", () => {
    const ring = new Ring(2);
    for (const n of [1, 2, 3]) ring.push(n, n);
    ring.precede([[0, 0]]);
    expect(all(ring)).toEqual([[2, 2], [3, 3]]);
  });

  it("a long silence is a gap, a slow node is not", () => {
    const slow: [number, number][] = [[0, 1], [600, 2], [1200, 3]];
    expect(withGaps(slow)).toEqual(slow);
    expect(withGaps([[0, 1], [10, 2], [20, 3], [300, 4], [310, 5]])).toEqual([[0, 1], [10, 2], [20, 3], [20, NaN], [300, 4], [310, 5]]);
    expect(withGaps([])).toEqual([]);
  });
});

describe("readings", () => {
  it("with a legacy broker an integer that a double cannot represent stays text", () => {
    expect(readQuantity("serial", undefined, { data: "9007199254740993" }, true)).toBeNull();
    expect(readQuantity("count", undefined, { data: "9007199254740991" }, true)?.value).toBe(9007199254740991);
    expect(readQuantity("energy", undefined, { data: "1e+20" }, true)?.value).toBe(1e20);
    expect(readQuantity("energy", undefined, { data: "1e+999" }, true)).toBeNull();
  });

  it("digits stay as the device wrote them", () => {
    expect(readQuantity("pressure", undefined, { data: "1007.70hPa", value: 1007.7, unit: "hPa" }, false)).toEqual({ value: 1007.7, digits: "1007.70", unit: "hPa" });
    expect(readQuantity("pressure", undefined, { data: "no text", value: 1.23456789, unit: "Cel" }, false)).toEqual({ value: 1.23456789, digits: "1.23457", unit: "°C" });
  });

  it.each(["--327.-6°C", "42949672.-1hPa", "12:30", "1.2.3", ""])("%s is not a number, even with a legacy broker", (data) => {
    expect(readQuantity("x", undefined, { data }, true)).toBeNull();
  });

  it.each(["[", "{}", '{"lat":"1","lng":2}', '{"lat":91,"lng":2}', "null"])("%s is not a position", (data) => {
    expect(readPosition(data)).toBeNull();
  });

  it.each(["[]", "[1]", '[{"type":"acc","values":[1,null,3]}]', '[{"values":[1]}]'])("%s has no vectors", (data) => {
    expect(readVectors(data)).toBeNull();
  });
});

function world(): State {
  const state = newState(0);
  reduce(state, { type: "joined", ts: 1000 }, 1000);
  const add = (uid: string, values: Record<string, string>, value = NaN) => {
    reduce(state, { type: "new", uid, gateway: "coap", ts: 1000 }, 1000);
    for (const [endpoint, data] of Object.entries(values))
      reduce(state, { type: "update", uid, endpoint, data, ts: 1000, ...(endpoint === "temperature" ? { value } : {}) }, 1000);
  };
  add("A1", { name: "Kitchen lamp", board: "samr21-xpro", led: "1" });
  add("B2", { name: "Roof", board: "native", temperature: "26.5°C" }, 26.5);
  add("C3", { name: "Cellar", board: "native", temperature: "12.0°C" }, 12);
  reduce(state, { type: "out", uid: "C3" }, 1001);
  return state;
}

describe("search", () => {
  it.each([
    ["", "A1 B2 C3"],
    ["kitchen", "A1"],
    ["b2", "B2"],
    ["temp>25", "B2"],
    ["temp<=12", "C3"],
    ["board:samr21", "A1"],
    ["board:native -roof", "C3"],
    ["has:led", "A1"],
    ["led=1", "A1"],
    ["state:left", "C3"],
    ["state:live board:native", "B2"],
    ["gateway:coap roof", "B2"],
    ['name:"kitchen lamp"', "A1"],
    ["temp>", "A1 B2 C3"],
    ["temp>abc", "A1 B2 C3"],
    ["nothing", ""],
  ])("%s means %s", (text, uids) => {
    const state = world();
    const query = parseQuery(text);
    const found = [...state.nodes.values()].filter((node) => matches(query, node, state, 1002)).map(({ uid }) => uid);
    expect(found.join(" ")).toBe(uids);
  });

  it("knows whether it depends on time and whether it includes offline nodes", () => {
    expect(parseQuery("temp>25")).toMatchObject({ moving: true, includesOffline: false });
    expect(parseQuery("state:left")).toMatchObject({ moving: true, includesOffline: true });
    expect(parseQuery("kitchen")).toMatchObject({ moving: false });
  });

  it("a filter is one term in the query text", () => {
    expect(withTerm("roof state:live", "state", "stale")).toBe("roof state:stale");
    expect(withTerm("roof state:live", "state", "")).toBe("roof");
    expect(withTerm("", "gateway", "my gateway")).toBe('gateway:"my gateway"');
    expect(termOf('gateway:"my gateway" -state:left', "gateway")).toBe("my gateway");
    expect(termOf("-state:left", "state")).toBe("");
  });
});

describe("firmware", () => {
  const at = (code: string, percent = "0") => {
    const state = newState(0);
    for (const [endpoint, data] of [["suit_state", code], ["dwnld", percent], ["version", "1.0"]])
      reduce(state, { type: "update", uid: "a", endpoint, data }, 0);
    const node = state.nodes.get("a");
    return node && firmware(node);
  };

  it.each([
    ["0", { step: -1, failed: "" }],
    ["1", { step: 0, failed: "" }],
    ["3", { step: 1, failed: "signature_invalid" }],
    ["5", { step: 1, failed: "sequence" }],
    ["8", { step: 2, failed: "download_failed" }],
    ["10", { step: 3, failed: "digest_invalid" }],
    ["11", { step: 4, failed: "", percent: 100 }],
    ["77", { step: -1, failed: "" }],
  ])("code %s", (code, expected) => {
    expect(at(code)).toMatchObject(expected);
  });

  it("the progress of a download stays within bounds", () => {
    expect(at("6", "42")?.percent).toBe(42);
    expect(at("6", "420")?.percent).toBe(100);
    expect(at("6", "x")?.percent).toBe(0);
  });
});

describe("orientation", () => {
  it("gravity gives roll and pitch", () => {
    const it = new Orientation();
    it.update([0, 0, 1000], undefined, 0);
    expect([it.roll, it.pitch]).toEqual([0, -0]);
    it.update([0, 1000, 0], undefined, 1);
    expect(it.roll).toBeCloseTo(Math.PI / 2);
    it.update([1000, 0, 0], undefined, 2);
    expect(it.pitch).toBeCloseTo(-Math.PI / 2);
  });

  it("rotation adds up to yaw; noise and gaps do not; reset clears it", () => {
    const it = new Orientation();
    it.update(undefined, [0, 0, 90], 0);
    it.update(undefined, [0, 0, 90], 1);
    expect(it.yaw).toBeCloseTo(Math.PI / 2);
    it.update(undefined, [0, 0, 1], 2);
    it.update(undefined, [0, 0, 90], 60);
    expect(it.yaw).toBeCloseTo(Math.PI / 2);
    it.reset();
    expect(it.yaw).toBe(0);
  });

  it("a huge rotation rate is no rotation", () => {
    const it = new Orientation();
    for (const time of [0, 1]) it.update([1.7e308, 1.7e308, 1.7e308], [0, 0, 1e308], time);
    expect([it.roll, it.pitch, it.yaw].every(Number.isFinite)).toBe(true);
    expect(it.yaw).toBe(0);
  });
});

describe("translations", () => {
  it("no text is unused", () => {
    const sources = import.meta.glob<string>(["../src/**/*.ts", "../src/**/*.tsx", "!../src/i18n/??.ts"], { query: "?raw", import: "default", eager: true });
    const text = Object.values(sources).join("\n");
    const built = /^(gateway|filter\.state|why|state|reason|outcome|imu|firmware|event|settings\.(theme|density)|resource|details|tab|pill|problem|account\.(role|kind))\./;
    const isUsed = (key: string) => text.includes(`"${key}"`) || text.includes(`"${key.replace(/\.(one|other)$/, "")}"`);
    expect(Object.keys(en).filter((key) => !built.test(key) && !isUsed(key))).toEqual([]);
  });

  it.each([["fr", fr], ["de", de]])("%s has every key, with every placeholder", (_code, words) => {
    const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort().join();
    for (const [key, text] of Object.entries(en)) expect(`${key} ${places(words[key as keyof typeof en])}`).toBe(`${key} ${places(text)}`);
  });
});

describe("ages", () => {
  const spaced = (text: string) => text.replace(/[\u00a0\u202f]/g, " ");

  it.each([
    ["en", 0, "now"],
    ["en", 16 * 60, "16m ago"],
    ["fr", 16 * 60, "il y a 16 min"],
    ["de", 16 * 60, "vor 16 Min."],
    ["fr", 5, "il y a 5 s"],
    ["fr", 7200, "il y a 2 h"],
    ["fr", 90_000, "hier"],
    ["de", 86_400 * 4, "vor 4 Tagen"],
    ["fr", -0.5, "maintenant"],
    // Clocks differ by a moment; more is the note of a clock that is ahead.
    ["fr", -16 * 60, "maintenant"],
    ["en", NaN, ""],
  ] as const)("%s: %d s", (code, seconds, text) => {
    expect(spaced(formatAge(code, seconds))).toBe(text);
  });

  it.each([
    ["en", 45, "45 s"],
    ["en", 600, "10 min"],
    ["fr", 620, "10 min"],
    ["de", 620, "10 Min."],
    ["de", 7200, "2 Std."],
    ["fr", 86_400 * 3, "3 j"],
  ] as const)("%s: a duration of %d s", (code, seconds, text) => {
    expect(spaced(formatDuration(code, seconds))).toBe(text);
  });
});
