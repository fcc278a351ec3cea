// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it, vi } from "vitest";
import { brokerText } from "../src/i18n/brokerTexts";

vi.mock("../src/i18n/index", () => ({
  language: { value: "de" },
  fromBroker: (text: string) => brokerText("de", text),
  localDigits: (digits: string) => digits.replace(".", ","),
}));
const { detailText } = await import("../src/i18n/audit");

describe("texts of the broker", () => {
  it("are in the language of the user, with their values", () => {
    expect(brokerText("de", "the node is offline")).toBe("der Knoten ist offline");
    expect(brokerText("fr", "over 50 commands/s")).toBe("plus de 50 commandes/s");
    expect(brokerText("fr", "no answer in 4.5 s")).toBe("pas de réponse en 4.5\u00a0s");
    expect(brokerText("de", "it takes a number from 1 to 2 °C")).toBe("erwartet wird eine Zahl von 1 bis 2 °C");
    expect(brokerText("de", "it takes one of a or b, c")).toBe("möglich sind a or b, c");
    expect(brokerText("de", "it takes on or off")).toBe("möglich sind on oder off");
  });

  it("stay as they are in English, and if a device wrote them", () => {
    for (const text of ["the node is offline", "4.04 Not Found", "", "$& {n}", "no such thing"]) {
      expect(brokerText("en", text)).toBe(text);
      if (!text.startsWith("the node")) expect(brokerText("de", text)).toBe(text);
    }
    // A value is not read as a text with values.
    expect(brokerText("de", "no node {uid} $&")).toBe("kein Knoten {uid} $&");
  });

  it("of each key are recognised", () => {
    for (const [key, text] of Object.entries(brokerText.words.en)) {
      const filled = text.replace(/\{\w+\}/g, "7");
      expect([key, brokerText("de", filled)]).toEqual([key, brokerText.words.de[key as keyof typeof brokerText.words.de].replace(/\{\w+\}/g, "7").replace(/(\d) (s|ms)\b/g, "$1\u00a0$2")]);
    }
  });
});

describe("details of the audit log", () => {
  it("name fields, people and scopes in the language of the user", () => {
    expect(detailText("edit", "label, room, interval_s=5.0, admission=banned")).toBe("Name, Raum, meldet sich alle 5\u00a0s, gesperrt");
    expect(detailText("edit", "label, types of room, led, admission=accepted")).toBe("Name, Typen von room, led, freigegeben");
    expect(detailText("edit", "offline_after_s=None, types")).toBe("offline nach: –, Typen von Ressourcen");
    expect(detailText("user-add", "user:ada, viewer, tag lab, gateway roof")).toBe("Benutzer ada, Betrachter, Schlagwort lab, Gateway roof");
    expect(detailText("gateway-remove", "gateway:roof, old tokens")).toBe("Gateway roof, alte Token");
    expect(detailText("invite", "admin, at the start")).toBe("Administrator, beim Start des Brokers");
    expect(detailText("command", "the node reports the value")).toBe("der Knoten meldet den Wert");
    expect(detailText("put-view", "HTTP status 409")).toBe("HTTP-Status 409");
  });

  it("keep the names that people chose", () => {
    expect(detailText("put-view", "label")).toBe("label");
    expect(detailText("device-add", "coap")).toBe("coap");
  });
});
