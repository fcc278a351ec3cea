// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { formOf, guessRoles, newMappingId, payloadOf, rolesOf } from "../src/mappingsApi";

describe("a mapping of topics", () => {
  it("is guessed from the levels of a topic", () => {
    expect(formOf("sensors/attic/temp", guessRoles("sensors/attic/temp", "text"))).toBe("sensors/{node}/{resource}");
    expect(formOf("house/power", guessRoles("house/power", "text"))).toBe("house/{resource}");
    expect(formOf("alone", guessRoles("alone", "text"))).toBe("alone");
    expect(formOf("rtl_433/pi/events", guessRoles("rtl_433/pi/events", "json"))).toBe("rtl_433/pi/{node}");
  });
  it("gives its roles and a topic back", () => {
    expect(rolesOf("a/+/{node}/{resource}")).toEqual({ roles: ["fixed", "any", "node", "resource"], topic: "a/any/my-node/value" });
  });
  it("has the form of the payload that was pasted", () => {
    expect(payloadOf(' {"t":1}', "text")).toBe("json");
    expect(payloadOf("21.5", "json")).toBe("text");
    expect(payloadOf("1,2", "csv")).toBe("csv");
  });
  it("gets an id that is not taken", () => {
    expect(newMappingId("Farm/{node}/+/{resource}", [])).toBe("farm");
    expect(newMappingId("farm/{node}", ["farm"])).toBe("farm-2");
    expect(newMappingId("{node}/{resource}", [])).toBe("topics");
  });
});
