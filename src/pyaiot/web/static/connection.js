// SPDX-License-Identifier: BSD-3-Clause
/** The way to the broker: opens it, keeps it honest, and opens it again, for ever. */
const RETRY_FIRST_S = 1; // doubled each time, then between half and all of it
const RETRY_MAX_S = 10;
const OPEN_S = 8; // to wait for a handshake
const SILENCE_S = 45; // then we ask, because a dead way looks like a quiet one
const PROBE_S = 8; // to wait for the answer to that
const LEGACY_BURST_S = 0.6; // an old broker does not say when it has told all

const REASONS = new Map([
  [1000, "The broker ended the connection."],
  [1001, "The broker was shut down."],
  [1003, "The broker did not understand what this page said."],
  [1008, "The broker refused this page, or it sent too much."],
  [1009, "A message was too large."],
  [1011, "The broker had an internal error."],
  [1012, "The broker is being restarted."],
  [1013, "This page did not read fast enough for the broker."],
]);

export class Connection {
  phase = "connecting"; // then joining, live, waiting
  reason = "";
  retryAt = 0; // performance.now()
  legacy = false;
  #socket = null;
  #known = false; // this broker speaks pyaiot.v2
  #attempt = 0;
  #timers = [];
  #heardAt = 0;
  #probedAt = 0;

  /** `on` has opened(legacy), messages(list), lost() and changed(): the phase is another. */
  constructor(url, on) {
    this.url = url;
    this.on = on;
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.#probe());
    setInterval(() => this.#watch(), 5000);
  }

  /** Connect. A server that does not select our subprotocol is asked again without it. */
  open(legacy = false) {
    this.#quit();
    this.#enter("connecting", this.reason);
    const socket = new WebSocket(this.url, legacy ? [] : ["pyaiot.v2"]);
    this.#socket = socket;
    this.#after(OPEN_S, () => this.#lose("The broker does not answer."));
    socket.onopen = () => {
      this.#clear();
      this.legacy = !socket.protocol;
      this.#known ||= !this.legacy;
      this.#heard();
      this.#enter("joining", this.reason);
      this.on.opened(this.legacy);
      this.send({ type: "new", data: "client" });
      if (this.legacy) this.#after(LEGACY_BURST_S, () => this.#deliver([{ type: "joined" }]));
    };
    socket.onmessage = ({ data }) => {
      this.#heard();
      try {
        const said = JSON.parse(data);
        this.#deliver(Array.isArray(said) ? said : [said]);
      } catch (error) {
        console.warn("A frame that cannot be used:", error);
      }
    };
    socket.onclose = ({ code, reason }) => {
      if (this.phase === "connecting" && !legacy && !this.#known) this.open(true);
      else this.#lose(explain(code, reason, this.phase === "connecting"));
    };
  }

  /** Say it if the way is open; whether it was. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Now, not when the countdown ends. */
  retry() {
    if (this.phase === "waiting") this.open();
  }

  #deliver(messages) {
    this.on.messages(messages);
    if (this.phase === "joining" && messages.some((message) => message.type === "joined")) {
      this.#attempt = 0;
      this.#enter("live", "");
    }
  }

  #lose(reason) {
    this.#quit();
    const longest = Math.min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** this.#attempt++);
    const delay = longest * (0.5 + Math.random() / 2);
    this.retryAt = performance.now() + delay * 1000;
    this.#after(delay, () => this.open());
    this.on.lost();
    this.#enter("waiting", reason);
  }

  #enter(phase, reason) {
    this.phase = phase;
    this.reason = reason;
    this.on.changed();
  }

  #quit() {
    this.#clear();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    // A dead way may take minutes to close; we do not wait, and hear nothing of it any more.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #heard() {
    this.#heardAt = performance.now();
    this.#probedAt = 0;
  }

  #probe() {
    // Any broker answers a repeated `new`; an old one without nodes answers nothing.
    if (this.phase !== "live" || this.legacy || this.#probedAt) return;
    this.#probedAt = performance.now();
    this.send({ type: "new", data: "client" });
  }

  #watch() {
    const now = performance.now();
    if (now - this.#heardAt > SILENCE_S * 1000) this.#probe();
    if (this.#probedAt && now - this.#probedAt > PROBE_S * 1000)
      this.#lose(`Nothing was heard from the broker for ${Math.round((now - this.#heardAt) / 1000)} s.`);
  }

  #after(seconds, action) {
    this.#timers.push(setTimeout(action, seconds * 1000));
  }

  #clear() {
    this.#timers.splice(0).forEach(clearTimeout);
  }
}

function explain(code, reason, unopened) {
  const words = unopened
    ? "The broker cannot be reached: it is not running, or the network is down."
    : REASONS.get(code) ?? "The connection to the broker broke.";
  return reason ? `${words} It said: ${reason}` : words;
}
