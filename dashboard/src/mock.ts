// SPDX-License-Identifier: BSD-3-Clause
/**
 * `npm run mock`: a WebSocket that replays recorded messages, to develop the page without a broker
 * or hardware. Commands are confirmed, except those of `refuses`.
 */
import recorded from "../mock/recorded.json";

type Recorded = [at: number, message: Record<string, unknown>];

class RecordedSocket extends EventTarget {
  static readonly OPEN = 1;
  readonly protocol = "pyaiot.v2";
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: MessageEvent<string>) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  private timers: number[] = [];

  constructor() {
    super();
    setTimeout(() => {
      this.readyState = 1;
      this.onopen?.();
    }, 50);
  }

  send(text: string): void {
    const message = JSON.parse(text) as Record<string, unknown>;
    if (message.type === "new") this.play(0, true);
    if (message.type === "command") this.answer(message);
  }

  close(): void {
    this.readyState = 3;
    this.timers.forEach((timer) => clearTimeout(timer));
  }

  private play(from: number, first: boolean): void {
    const all = recorded as unknown as Recorded[];
    const end = all[all.length - 1][0];
    for (const [at, message] of all) {
      if (!first && message.type !== "update") continue;
      this.timers.push(window.setTimeout(() => this.receive({ ...message, ts: Date.now() / 1000 }), (at - from) * 1000));
    }
    this.timers.push(window.setTimeout(() => this.play(0, false), end * 1000));
  }

  private answer({ id, uid, endpoint, payload }: Record<string, unknown>): void {
    const refused = uid === "refuses";
    setTimeout(() => {
      if (!refused) this.receive({ type: "update", uid, endpoint, data: payload, ts: Date.now() / 1000 });
      this.receive({ type: "receipt", id, state: refused ? "refused" : "confirmed", elapsed_ms: 12 });
    }, 300);
  }

  private receive(message: Record<string, unknown>): void {
    this.onmessage?.(new MessageEvent("message", { data: JSON.stringify([message]) }));
  }
}

window.WebSocket = RecordedSocket as unknown as typeof WebSocket;
