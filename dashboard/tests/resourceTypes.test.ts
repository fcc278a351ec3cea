// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { decode, type ResourceType, type ToClient } from "../src/messages";
import { payloadOf, truthOf } from "../src/model/resourceTypes";
import { findNode, newState, reduce, type Resource, type State } from "../src/model/state";
import { hexOf } from "../src/model/colour";
import { editOf, textsOf } from "../src/model/typeEdit";

const OFFSET = 1_000_000;

function live(...messages: ToClient[]): State {
  const state = newState(OFFSET);
  reduce(state, { type: "opened", legacy: false }, 0);
  reduce(state, { type: "joined", nodes: 0, ts: OFFSET }, 0);
  for (const message of messages) reduce(state, message, 1);
  return state;
}

const described = (types: Record<string, ResourceType>): ToClient => ({ type: "describe", uid: "a", types });
const update = (endpoint: string, data: unknown, more: object = {}): ToClient => ({ type: "update", uid: "a", endpoint, data, ...more });

function resourceOf(state: State, name: string): Resource {
  const resource = state.nodes.get("a")?.resources.get(name);
  if (!resource) throw new Error(`no resource ${name}`);
  return resource;
}

describe("types of resources", () => {
  it("a type that comes before its node and its value counts", () => {
    const state = live(described({ relay: { kind: "boolean", on: "1", off: "0", writable: true } }), update("relay", "0", { value: 0 }));
    expect(resourceOf(state, "relay")).toMatchObject({ kind: "text", text: "0", type: { kind: "boolean" } });
  });

  it("a type that comes later changes the resource at once", () => {
    const state = live(update("relay", "0", { value: 0 }));
    expect(resourceOf(state, "relay").kind).toBe("number");
    reduce(state, described({ relay: { kind: "boolean" } }), 2);
    expect(resourceOf(state, "relay")).toMatchObject({ kind: "text", text: "0" });
    reduce(state, described({ relay: {} }), 3);
    expect(resourceOf(state, "relay")).toMatchObject({ kind: "number", value: 0 });
  });

  it("a button has no reading and is there", () => {
    const state = live({ type: "new", uid: "a" }, described({ restart: { kind: "command", writable: true }, mood: { kind: "text" } }));
    expect(resourceOf(state, "restart")).toMatchObject({ last: null, text: "", ts: 0 });
    expect(state.nodes.get("a")?.resources.has("mood")).toBe(false);
  });

  it("unit and precision of a type count for a number without a unit", () => {
    const state = live(described({ level: { kind: "number", unit: "%RH", precision: 1, writable: true } }), update("level", 40, { value: 40 }));
    expect(resourceOf(state, "level")).toMatchObject({ digits: "40.0", unit: "%" });
  });

  it("a position has any name, and `position` comes first", () => {
    const state = live(described({ where: { kind: "position" } }), update("where", { lat: 1, lng: 2 }));
    expect(state.nodes.get("a")?.position).toEqual({ lat: 1, lng: 2 });
    for (const message of [update("position", { lat: 3, lng: 4 }), update("where", { lat: 5, lng: 6 })]) reduce(state, message, 2);
    expect(state.nodes.get("a")?.position).toEqual({ lat: 3, lng: 4 });
  });

  it("types go with their node", () => {
    const state = live(described({ relay: { kind: "boolean" } }));
    reduce(state, { type: "forgotten", uid: "a" }, 2);
    expect(state.types.size).toBe(0);
  });

  it("an offline node has the types of people and metadata", () => {
    const state = live({ type: "node", uid: "a", state: "offline", values: [{ endpoint: "relay", data: "0", value: 0 }] }, described({ relay: { kind: "boolean" } }));
    expect(findNode(state, "a")?.resources.get("relay")?.kind).toBe("text");
  });

  it("a confirmed word is the value of a boolean that was not reported", () => {
    const state = live(described({ relay: { kind: "boolean", on: "ON", off: "OFF" } }), update("relay", "OFF"));
    const resource = resourceOf(state, "relay");
    reduce(state, { type: "command_sent", id: "1", resource, payload: payloadOf(true, resource.type) }, 2);
    reduce(state, { type: "receipt", id: "1", state: "confirmed" }, 2);
    expect(truthOf(resource.text, resource.type)).toBe(true);
  });

  it("names of object properties are names of resources", () => {
    const state = live(...decode('{"type":"describe","uid":"a","types":{"__proto__":{"kind":"boolean"},"constructor":{"kind":"boolean"}}}').messages, update("__proto__", "1"), update("constructor", "1"));
    expect(resourceOf(state, "__proto__").type.kind).toBe("boolean");
    expect(resourceOf(state, "constructor").type.kind).toBe("boolean");
  });

  it("messages with other types are not valid", () => {
    for (const types of ["1", "null", "[]", '{"a":1}', '{"a":null}'])
      expect(decode(`{"type":"describe","uid":"a","types":${types}}`)).toEqual({ messages: [], wrong: 1 });
  });
});

describe("words", () => {
  it("those of the device come first", () => {
    expect([truthOf("ON", {}), truthOf(" off ", {}), truthOf("maybe", {})]).toEqual([true, false, null]);
    expect([truthOf("0", { on: "0", off: "1" }), truthOf("Open", { on: "open", off: "closed" })]).toEqual([true, true]);
  });
});

describe("colours", () => {
  it("are read in each form of devices", () => {
    for (const text of ["#FF8800", "255,136,0", '{"r":255,"g":136,"b":0}']) expect(hexOf(text)).toBe("#ff8800");
    for (const text of ["", "red", "256,0,0", "{", '{"r":1}', "null"]) expect(hexOf(text)).toBe("#000000");
  });
});

describe("edits of a type", () => {
  const set = textsOf({ kind: "number", unit: "V", minimum: 1, writable: true, source: "people" });

  it("have the changed fields only, and null for cleared ones", () => {
    expect(editOf(set, { ...set, maximum: "2,5", unit: " ", writable: "" }, "number")).toEqual({ unit: null, maximum: 2.5, writable: null });
    expect(editOf(set, set, "number")).toEqual({});
  });

  it("clear what means nothing for the new kind", () => {
    expect(editOf(set, { ...set, kind: "enum", choices: "a, b,a," }, "enum")).toEqual({ kind: "enum", unit: null, minimum: null, choices: ["a", "b"] });
  });
});
