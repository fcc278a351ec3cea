// SPDX-License-Identifier: BSD-3-Clause
import { beforeEach, expect, it, vi } from "vitest";
import { brokerText } from "../src/i18n/brokerTexts";

const code = { value: "de" as "de" | "en" };
vi.mock("../src/config", () => ({ apiUrl: () => "/api/" }));
vi.mock("../src/i18n", () => ({
  fromBroker: (text: string) => brokerText(code.value, text),
  t: (key: string) => `[${key}]`,
  translate: (key: string) => (key === "problem.registry-full" || key === "problem.forbidden" || key === "problem.unreachable" ? `[${key}]` : key),
}));
const { problemOf, request, ApiProblem } = await import("../src/registryApi");
const { problemText } = await import("../src/ui/problemText");

const answer = (status: number, problem: object) => new Response(JSON.stringify(problem), { status, statusText: "Some Status" });
const problem = (kind: string, title: string, detail: string) => ({ type: `/api/docs#problem-${kind}`, title, detail });

beforeEach(() => void (code.value = "de"));

it("has words of its own for what the page knows", async () => {
  expect(problemText(await problemOf(answer(507, problem("registry-full", "The limit of edited nodes is reached", "10000 nodes"))))).toBe("[problem.registry-full]");
  expect(problemText(await problemOf(answer(403, problem("", "Forbidden", "This requires the role admin"))))).toBe("[problem.forbidden]");
  expect(problemText(new ApiProblem(0, "unreachable", ""))).toBe("[problem.unreachable]");
  expect(problemText(new TypeError("Failed to fetch"))).toBe("[problem.unreachable]");
});

it("is in the language of the user, with the detail of the broker", async () => {
  const refused = problem("rule-refused", "The rule cannot be added, replaced or removed", "an action needs a resource");
  expect(problemText(await problemOf(answer(409, refused)))).toBe("Die Regel kann nicht hinzugefügt, ersetzt oder entfernt werden: an action needs a resource");
  const busy = problem("busy", "The limit of simultaneous requests is reached", "");
  expect(problemText(await problemOf(answer(503, busy)))).toBe("Es laufen so viele Anfragen gleichzeitig, wie erlaubt sind");
  const offline = problem("unreachable", "The node cannot be reached", "the node is offline");
  expect(problemText(await problemOf(answer(502, { ...offline, type: "x#problem-other" })))).toBe("der Knoten ist offline");
});

it("is the detail in English, and else the status", async () => {
  code.value = "en";
  const refused = problem("rule-refused", "The rule cannot be added, replaced or removed", "an action needs a resource");
  expect(problemText(await problemOf(answer(409, refused)))).toBe("an action needs a resource");
  expect(problemText(await problemOf(new Response("", { status: 502, statusText: "Bad Gateway" })))).toBe("502 Bad Gateway");
});

it("of a broker that is gone is not empty", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  await expect(request("GET", "/api/alert-rules").catch(problemText)).resolves.toBe("[problem.unreachable]");
});
