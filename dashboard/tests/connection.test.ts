// SPDX-License-Identifier: BSD-3-Clause
import { afterEach, expect, it, vi } from "vitest";

vi.mock("../src/config", () => ({ brokerUrl: () => "ws://broker/ws", brokerCount: () => 1, nextBroker: () => undefined }));
const listeners = new Map<string, (event: object) => void>();
const sockets: FakeSocket[] = [];
class FakeSocket {
  static OPEN = 1;
  readyState = 1;
  protocol = "pyaiot.v2";
  onopen: (() => void) | null = null;
  onclose: ((event: object) => void) | null = null;
  sent: string[] = [];
  constructor() {
    sockets.push(this);
  }
  send = (text: string) => void this.sent.push(text);
  close = () => undefined;
}
vi.useFakeTimers();
vi.stubGlobal("window", globalThis);
vi.stubGlobal("WebSocket", FakeSocket);
vi.stubGlobal("addEventListener", (name: string, listener: (event: object) => void) => listeners.set(name, listener));
vi.stubGlobal("document", { addEventListener: () => undefined, hidden: false });
const { Connection } = await import("../src/connection");
afterEach(() => vi.clearAllTimers());

it("takes no notice of its end when the page is left, and connects again when the page is back", () => {
  const lost = vi.fn();
  const connection = new Connection({ opened: () => undefined, messages: () => undefined, lost, changed: () => undefined });
  connection.open();
  const [socket] = sockets;
  socket.onopen?.();
  listeners.get("pagehide")?.({});
  // The stop of a vehicle is still sent.
  expect(connection.send({ type: "new", data: "client" })).toBe(true);
  socket.onclose?.({ code: 1001, reason: "" });
  expect(lost).not.toHaveBeenCalled();

  listeners.get("pageshow")?.({ persisted: false });
  expect(sockets.length).toBe(1);
  listeners.get("pageshow")?.({ persisted: true });
  expect(sockets.length).toBe(2);
  sockets[1].onopen?.();
  sockets[1].onclose?.({ code: 1006, reason: "" });
  expect(lost).toHaveBeenCalledOnce();
});
