// SPDX-License-Identifier: BSD-3-Clause
/** The connection to the broker: opens it, checks that it is alive, and reconnects for ever. */
import { brokerCount, brokerUrl, nextBroker } from "./config";
import { decode, SUBPROTOCOL, type FromClient, type ToClient } from "./messages";

const RETRY_FIRST_S = 1; // doubled after each failure of all brokers; the pause is random, 50 to 100 % of it
const RETRY_MAX_S = 10;
// Where there is another broker to go to, a dead one is noticed sooner.
const ofSeveral = (): boolean => brokerCount() > 1;
const openS = (): number => (ofSeveral() ? 3 : 8); // limit of the handshake
const silenceS = (): number => (ofSeveral() ? 10 : 45); // then a probe is sent, because a dead connection looks like a quiet one
const PROBE_S = 8; // limit of the answer to the probe
const LEGACY_BURST_S = 0.6; // a legacy broker does not mark the end of the state

export type Phase = "connecting" | "joining" | "live" | "waiting";
/** Why there is no connection: a key of the translations (`why.…`), and the reason that the broker sent. */
export interface Reason {
  why: "unreachable" | "no_answer" | "silent" | "broken" | `code_${number}`;
  text: string;
  seconds: number;
}

const KNOWN_CODES = new Set([1000, 1001, 1003, 1008, 1009, 1011, 1012, 1013]);

export interface Listener {
  opened(legacy: boolean): void;
  messages(list: ToClient[]): void;
  lost(reason: Reason): void;
  /** The phase changed. */
  changed(): void;
}

export class Connection {
  phase: Phase = "connecting";
  reason: Reason | null = null;
  /** Time of `performance.now()`, in ms. */
  retryAt = 0;
  legacy = false;
  private socket: WebSocket | null = null;
  private usesV2 = false; // this broker has selected pyaiot.v2
  private attempt = 0;
  private timers: number[] = [];
  private receivedAt = 0;
  private probedAt = 0;

  constructor(private readonly on: Listener) {
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.probe());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.watch();
    });
    // A page that is left draws no lost connection: Firefox ends its script in the middle of that, and what
    // still runs then fails. The socket can still send.
    addEventListener("pagehide", () => {
      if (this.socket) this.socket.onclose = null;
    });
    addEventListener("pageshow", ({ persisted }) => {
      if (persisted) this.open();
    });
    setInterval(() => this.watch(), 5000);
  }

  /** Connect. If the server does not select our subprotocol, try again without it. */
  open(legacy = false): void {
    this.quit();
    this.enter("connecting", this.reason);
    const socket = new WebSocket(brokerUrl(), legacy ? [] : [SUBPROTOCOL]);
    this.socket = socket;
    this.after(openS(), () => this.lose({ why: "no_answer", text: "", seconds: openS() }));
    socket.onopen = () => {
      this.clear();
      this.legacy = !socket.protocol;
      this.usesV2 ||= !this.legacy;
      this.markReceived();
      this.enter("joining", this.reason);
      this.on.opened(this.legacy);
      this.join();
      if (this.legacy) this.after(LEGACY_BURST_S, () => this.deliver([{ type: "joined" }]));
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      this.markReceived();
      try {
        const { messages, wrong } = decode(String(data));
        if (wrong) console.warn(`${wrong} messages of the broker were ignored`);
        this.deliver(messages);
      } catch (error) {
        console.warn("An invalid frame:", error);
      }
    };
    socket.onclose = ({ code, reason }) => {
      if (this.phase === "connecting" && !legacy && !this.usesV2) this.open(true);
      else this.lose({ why: this.phase === "connecting" ? "unreachable" : named(code), text: reason, seconds: 0 });
    };
  }

  /** Send if the connection is open. Returns whether it was. */
  send(message: FromClient): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Reconnect now instead of at the end of the countdown. */
  retry(): void {
    if (this.phase === "waiting") this.openNext();
  }

  private openNext(): void {
    nextBroker();
    this.open();
  }

  /** Request the state of all nodes. */
  join(): void {
    this.send(this.legacy ? { type: "new", data: "client" } : { type: "new", data: "client", registry: true });
  }

  private deliver(messages: ToClient[]): void {
    this.on.messages(messages);
    if (this.phase === "joining" && messages.some((message) => message.type === "joined")) {
      this.attempt = 0;
      this.enter("live", null);
    }
  }

  private lose(reason: Reason): void {
    this.quit();
    const round = Math.floor(this.attempt++ / brokerCount());
    const longest = Math.min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** round);
    const delay = longest * (0.5 + Math.random() / 2);
    this.retryAt = performance.now() + delay * 1000;
    this.after(delay, () => this.openNext());
    this.on.lost(reason);
    this.enter("waiting", reason);
  }

  private enter(phase: Phase, reason: Reason | null): void {
    this.phase = phase;
    this.reason = reason;
    this.on.changed();
  }

  private quit(): void {
    this.clear();
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    // Closing a dead connection may take minutes: do not wait, and ignore its events.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private markReceived(): void {
    this.receivedAt = performance.now();
    this.probedAt = 0;
  }

  private probe(): void {
    // A broker answers a repeated `new`. A legacy broker without nodes does not.
    if (this.phase !== "live" || this.legacy || this.probedAt) return;
    this.probedAt = performance.now();
    this.join();
  }

  private watch(): void {
    const now = performance.now();
    if (now - this.receivedAt > silenceS() * 1000) this.probe();
    if (this.probedAt && now - this.probedAt > PROBE_S * 1000)
      this.lose({ why: "silent", text: "", seconds: Math.round((now - this.receivedAt) / 1000) });
  }

  private after(seconds: number, action: () => void): void {
    this.timers.push(window.setTimeout(action, seconds * 1000));
  }

  private clear(): void {
    this.timers.splice(0).forEach((timer) => clearTimeout(timer));
  }
}

const named = (code: number): Reason["why"] => (KNOWN_CODES.has(code) ? `code_${code}` : "broken");
