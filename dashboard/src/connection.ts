// SPDX-License-Identifier: BSD-3-Clause
/** The way to the broker: opens it, keeps it honest, and opens it again, for ever. */
import { decode, SUBPROTOCOL, type FromClient, type ToClient } from "./messages";

const RETRY_FIRST_S = 1; // doubled each time, then between half and all of it
const RETRY_MAX_S = 10;
const OPEN_S = 8; // to wait for a handshake
const SILENCE_S = 45; // then we ask, because a dead way looks like a quiet one
const PROBE_S = 8; // to wait for the answer to that
const LEGACY_BURST_S = 0.6; // an old broker does not say when it has told all

export type Phase = "connecting" | "joining" | "live" | "waiting";
/** Why there is no connection: a key of the translations (`why.…`), and what the broker said. */
export interface Reason {
  why: "unreachable" | "no_answer" | "silent" | "broken" | `code_${number}`;
  said: string;
  seconds: number;
}

const KNOWN_CODES = new Set([1000, 1001, 1003, 1008, 1009, 1011, 1012, 1013]);

export interface Listener {
  opened(legacy: boolean): void;
  messages(list: ToClient[]): void;
  lost(reason: Reason): void;
  /** The phase is another. */
  changed(): void;
}

export class Connection {
  phase: Phase = "connecting";
  reason: Reason | null = null;
  /** Of `performance.now()`. */
  retryAt = 0;
  legacy = false;
  private socket: WebSocket | null = null;
  private known = false; // this broker speaks pyaiot.v2
  private attempt = 0;
  private timers: number[] = [];
  private heardAt = 0;
  private probedAt = 0;

  constructor(
    readonly url: string,
    private readonly on: Listener,
  ) {
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.probe());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.watch();
    });
    setInterval(() => this.watch(), 5000);
  }

  /** Connect. A server that does not select our subprotocol is asked again without it. */
  open(legacy = false): void {
    this.quit();
    this.enter("connecting", this.reason);
    const socket = new WebSocket(this.url, legacy ? [] : [SUBPROTOCOL]);
    this.socket = socket;
    this.after(OPEN_S, () => this.lose({ why: "no_answer", said: "", seconds: OPEN_S }));
    socket.onopen = () => {
      this.clear();
      this.legacy = !socket.protocol;
      this.known ||= !this.legacy;
      this.heard();
      this.enter("joining", this.reason);
      this.on.opened(this.legacy);
      this.send({ type: "new", data: "client" });
      if (this.legacy) this.after(LEGACY_BURST_S, () => this.deliver([{ type: "joined" }]));
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      this.heard();
      try {
        const { messages, wrong } = decode(String(data));
        if (wrong) console.warn(`${wrong} messages of the broker cannot be used`);
        this.deliver(messages);
      } catch (error) {
        console.warn("A frame that cannot be used:", error);
      }
    };
    socket.onclose = ({ code, reason }) => {
      if (this.phase === "connecting" && !legacy && !this.known) this.open(true);
      else this.lose({ why: this.phase === "connecting" ? "unreachable" : named(code), said: reason, seconds: 0 });
    };
  }

  /** Say it if the way is open; whether it was. */
  send(message: FromClient): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Now, not when the countdown ends. */
  retry(): void {
    if (this.phase === "waiting") this.open();
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
    const longest = Math.min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** this.attempt++);
    const delay = longest * (0.5 + Math.random() / 2);
    this.retryAt = performance.now() + delay * 1000;
    this.after(delay, () => this.open());
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
    // A dead way may take minutes to close; we do not wait, and hear nothing of it any more.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private heard(): void {
    this.heardAt = performance.now();
    this.probedAt = 0;
  }

  private probe(): void {
    // Any broker answers a repeated `new`; an old one without nodes answers nothing.
    if (this.phase !== "live" || this.legacy || this.probedAt) return;
    this.probedAt = performance.now();
    this.send({ type: "new", data: "client" });
  }

  private watch(): void {
    const now = performance.now();
    if (now - this.heardAt > SILENCE_S * 1000) this.probe();
    if (this.probedAt && now - this.probedAt > PROBE_S * 1000)
      this.lose({ why: "silent", said: "", seconds: Math.round((now - this.heardAt) / 1000) });
  }

  private after(seconds: number, action: () => void): void {
    this.timers.push(window.setTimeout(action, seconds * 1000));
  }

  private clear(): void {
    this.timers.splice(0).forEach((timer) => clearTimeout(timer));
  }
}

const named = (code: number): Reason["why"] => (KNOWN_CODES.has(code) ? `code_${code}` : "broken");
