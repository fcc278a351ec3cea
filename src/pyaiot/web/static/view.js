// SPDX-License-Identifier: BSD-3-Clause
/**
 * Draws the state, at most once per frame, and only what is on the screen. All text goes in as
 * text nodes and attributes; there is no markup in this file.
 */
import { ANSWER_S, FACTS, SAMPLES, STALE_S } from "./state.js";

const LEAST_SAMPLES = 12; // side by side in a sparkline, from its beginning on
const SPARK_S = 0.25; // between two drawings of the same line
const DISCOVERY_S = 15; // without any value: no answer yet
const LONG_TEXT = 24; // characters; longer ones get a line of their own
const TEXT_MAX = 400; // characters shown of a text
const BACK_S = 8; // "Back" is said this long
const LEAST_SPAN = new Map([["°C", 2], ["%", 4], ["hPa", 4]]); // noise is not a mountain
const BOOKKEEPING = ["protocol", "ip", "id"]; // known without asking the node
const RANK = { number: 0, switch: 1, text: 2 }; // the order on a card

const by = (id) => document.getElementById(id);
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const position = (text) => (text === "1" ? "on" : text === "0" ? "off" : text.slice(0, 12) || "?");

function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** Write only what changed. The text node stays, so a selection survives. */
function put(element, text) {
  const node = element.firstChild;
  if (!node) element.append(text);
  else if (node.data !== text) node.data = text;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function span(seconds) {
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** What became of a command: how it is coloured, and a shape with words. */
function outcome({ state, payload, detail, elapsed }) {
  const why = detail ? `: ${detail}` : "";
  switch (state) {
    case "pending": return ["pending", `asking for ${position(payload)} …`];
    case "confirmed": return ["good", `✓ confirmed${elapsed ? ` in ${Math.round(elapsed)} ms` : ""}`];
    case "refused": return ["bad", `✕ refused by the node${why}`];
    case "timeout": return ["bad", `✕ no answer in ${ANSWER_S} s`];
    case "unreachable": return ["bad", `✕ not reachable${why}`];
    case "unknown": return ["bad", `✕ no such resource${why}`];
    case "forbidden": return ["bad", `✕ not allowed${why}`];
    case "sent": return ["pending", "→ sent; nobody confirms it"];
    default: return ["bad", "? broker lost, outcome unknown"];
  }
}

export class View {
  cards = new Map();
  title = "Pyaiot";
  rate = 0; // messages per second
  #frame = 0;
  #met = false; // the broker, ever
  #lostAt = 0; // Date.now()
  #back = null; // what to say after a loss, and until when

  /** `clock` gives the page's time in seconds; `actions` has toggle(resource) and retry(). */
  constructor(state, connection, clock, actions) {
    Object.assign(this, { state, connection, clock, actions });
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        target.card.visible = isIntersecting;
        state.changed.add(target.card.node);
      }
      this.schedule();
    }, { rootMargin: "200px" });
    matchMedia("(prefers-color-scheme: dark)").onchange = () => this.repaint();
    document.onvisibilitychange = () => this.repaint();
    by("retry").onclick = actions.retry;
    by("copy").onclick = () => this.#copy();
  }

  schedule() {
    if (!this.#frame && !document.hidden) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  /** Everything again: the theme or the link is another, or somebody looks again. */
  repaint() {
    this.colour = getComputedStyle(document.documentElement).getPropertyValue("--spark");
    for (const { rows } of this.cards.values()) rows.forEach((row) => { row.drawn = null; });
    this.state.nodes.forEach((node) => this.state.changed.add(node));
    this.schedule();
  }

  /** Another phase of the link: noted at once, also when nobody is looking. */
  linkChanged() {
    const { phase, reason } = this.connection;
    if (phase === "waiting" && !this.#lostAt) {
      this.#lostAt = Date.now();
      put(by("announce"), `Broker lost. ${reason} Trying again.`);
    } else if (phase === "live") {
      const missed = span((Date.now() - this.#lostAt) / 1000);
      this.#back = this.#met && { text: `Back. Missed ${missed}` };
      put(by("announce"), this.#back.text ?? "Live");
      this.#lostAt = 0;
      this.#met = true;
    }
    this.repaint();
  }

  entitle(title, version) {
    this.title = title;
    put(by("title"), title);
    put(by("version"), `Pyaiot ${version}`);
  }

  /** The second's work: ages, countdowns, rates. */
  tick(rate) {
    this.rate = rate;
    for (const card of this.cards.values()) if (card.visible) this.state.changed.add(card.node);
    this.schedule();
  }

  #draw() {
    this.#frame = 0;
    const { state, cards } = this;
    const now = this.clock();
    this.frozen = this.connection.phase !== "live";
    this.#drawLink(now);
    if (!state.joined) return;
    for (const [uid, card] of cards)
      if (state.nodes.get(uid) !== card.node) {
        card.element.remove();
        cards.delete(uid);
      }
    for (const node of state.changed) {
      if (state.nodes.get(node.uid) !== node) continue; // gone meanwhile
      if (!cards.has(node.uid)) cards.set(node.uid, new Card(this, node));
      cards.get(node.uid).draw(this, now);
    }
    state.changed.clear();
  }

  #drawLink(now) {
    const { state, connection } = this;
    const { phase, url, reason, retryAt } = connection;
    const present = [...state.nodes.values()].filter((node) => !node.left).length;
    const nodes = plural(present, "node");
    const wait = Math.max(1, Math.ceil((retryAt - performance.now()) / 1000));
    set(document.documentElement, "data-link", phase);
    put(by("pill"), {
      connecting: "Connecting …",
      joining: "Asking what is there …",
      live: `Live · ${nodes} · ${this.rate} msg/s`,
      waiting: `Reconnecting in ${wait} s`,
    }[phase]);
    const title = phase === "live" ? `${this.title} · ${nodes}` : `(no broker) ${this.title}`;
    if (document.title !== title) document.title = title;

    if (this.#back) this.#back.until ??= now + BACK_S;
    if (now > this.#back?.until) this.#back = null;
    const back = this.#lostAt ? null : this.#back;
    by("banner").hidden = !this.#lostAt && !back;
    set(by("banner"), "class", back ? "back" : "");
    put(by("banner-title"), back?.text ?? (this.#met ? "Broker lost" : "Broker not reached"));
    put(by("banner-text"), back
      ? "The values are live again; lines have a gap where nothing was heard."
      : `${reason} ${phase === "waiting" ? `Trying again in ${wait} s.` : "Trying now …"}`);
    put(by("banner-url"), url);
    put(by("banner-help"), this.#met ? "Shown is what was last heard." : "Start it with: aiot run");
    set(by("retry"), "aria-disabled", phase !== "waiting");

    by("skeletons").hidden = state.joined;
    by("empty").hidden = !state.joined || state.nodes.size > 0;
    put(by("problem"), state.problem && `· the broker says: ${state.problem}`);
    this.#drawGateways();
  }

  #drawGateways() {
    const { gateways, joined, legacy } = this.state;
    const list = [...gateways.values()];
    const told = JSON.stringify([list, joined, this.frozen]);
    if (told === this.told) return;
    this.told = told;
    const items = list.map(({ name, protocol, state }) => {
      const known = this.frozen ? "unknown" : state;
      return make("li", known, [name, protocol, known].filter(Boolean).join(" · "));
    });
    if (joined && !legacy && !list.length) items.push(make("li", "lost", "no gateway connected"));
    by("gateways").replaceChildren(...items);
    const names = list.filter(({ state }) => state === "connected").map(({ name }) => name);
    put(by("empty-gateways"), legacy ? "This broker does not tell its gateways."
      : names.length ? `${plural(names.length, "gateway")} connected and listening: ${names.join(", ")}.`
      : "No gateway is connected, so no node can be heard. Start one with: aiot coap-gateway");
  }

  async #copy() {
    const command = by("command");
    getSelection().selectAllChildren(command);
    const done = navigator.clipboard?.writeText(command.textContent) ?? Promise.reject();
    // Without permission, or in an insecure place: it is selected.
    put(by("copy"), await done.then(() => "Copied", () => "Ctrl+C"));
    setTimeout(() => put(by("copy"), "Copy"), 2000);
  }
}

class Card {
  visible = true; // until the observer knows better
  rows = new Map();
  name = make("h3");
  uid = make("p", "uid");
  line = make("p", "line");
  chip = make("p", "chip");
  list = make("dl");
  wait = make("p", "wait");
  facts = make("dl", "facts");
  more = make("details", "", make("summary", "", "About this node"), this.facts);

  constructor(view, node) {
    this.node = node;
    const head = make("div", "head", this.name, this.uid, this.chip, this.line);
    this.element = make("li", node.fresh ? "fresh" : "", head, this.list, this.wait, this.more);
    this.element.card = this;
    this.more.ontoggle = () => this.draw(view, view.clock());
    by("nodes").append(this.element);
    view.seen.observe(this.element);
  }

  draw(view, now) {
    if (!this.visible) return;
    const { node, rows } = this;
    const { resources } = node;
    const about = ["os", "board", "protocol"].map((name) => resources.get(name)?.text).filter(Boolean);
    put(this.name, node.name || node.uid);
    put(this.uid, node.name ? node.uid : "no name");
    put(this.line, about.join(" · ") || `via ${node.gateway || "an unknown gateway"}`);
    this.#drawState(view, now);
    for (const [name, row] of rows)
      if (resources.get(name) !== row.resource || row.kind !== row.resource.kind) {
        row.element.remove();
        rows.delete(name);
      }
    for (const [name, resource] of resources) {
      if (!rows.has(name)) this.#place(new Row(view, resource));
      const row = rows.get(name);
      if (!row.fact || this.more.open) row.draw(view, now);
    }
    this.more.hidden = !this.facts.firstChild;
  }

  #drawState(view, now) {
    const { left, since, resources } = this.node;
    let [state, text] = view.frozen ? ["frozen", "frozen"] : ["live", ""];
    if (left) {
      const ago = `${span(now - left.at)} ago`;
      state = left.reason === "gateway lost" ? "unknown" : "left";
      text = state === "unknown" ? "unknown: gateway lost" : `${left.reason} · out ${ago}`;
    }
    set(this.element, "data-state", state);
    this.chip.hidden = !text;
    put(this.chip, text);
    this.wait.hidden = [...resources.keys()].some((name) => !BOOKKEEPING.includes(name));
    put(this.wait, left ? "It never told what it has."
      : now + view.state.offset - since > DISCOVERY_S ? "Asked for its resources, no answer yet."
      : "Asking for its resources …");
  }

  /** Numbers, then switches, then texts, each by name: the same order on every card. */
  #place(row) {
    const after = [...this.rows.values()]
      .filter((other) => other.fact === row.fact && other.key > row.key)
      .reduce((least, other) => (least?.key < other.key ? least : other), null);
    (row.fact ? this.facts : this.list).insertBefore(row.element, after && after.element);
    this.rows.set(row.resource.name, row);
  }
}

class Row {
  age = make("dd", "age");
  value = make("dd", "value");

  constructor(view, resource) {
    const { name, kind } = resource;
    Object.assign(this, { resource, kind, fact: FACTS.has(name), key: RANK[kind] + name });
    this.element = make("div", `row ${kind}`, make("dt", "", name), this.value, this.age);
    if (kind === "number") {
      this.digits = make("span");
      this.unit = make("span", "unit");
      this.canvas = make("canvas");
      set(this.canvas, "aria-hidden", true);
      this.value.append(this.digits, this.unit);
      this.value.before(make("dd", "spark", this.canvas));
    } else if (kind === "switch") {
      this.word = make("span");
      this.button = make("button", "", make("i"));
      this.button.type = "button";
      this.button.onclick = () => view.actions.toggle(resource);
      set(this.button, "role", "switch");
      this.value.append(this.word, this.button);
    }
  }

  draw(view, now) {
    const { resource, element } = this;
    const { command, text, unread } = resource;
    const waiting = resource.forgotten !== undefined;
    const age = Math.max(0, now + view.state.offset - resource.ts);
    const stale = !this.fact && (waiting || age > STALE_S);
    let [kind, note] = ["", age < 1 ? "now" : `${span(age)} ago`];
    if (view.frozen) note = `at ${new Date(Date.now() - age * 1000).toTimeString().slice(0, 8)}`;
    else if (waiting) note = "rebooted";
    else if (stale) note = `stale · ${span(age)}`;
    if (unread) note = `last good value; unreadable: ${unread.slice(0, 40)} · ${note}`;
    if (command) [kind, note] = outcome(command);
    put(this.age, note);
    set(element, "data-note", kind);
    set(element, "data-stale", stale);
    element.classList.toggle("unread", Boolean(unread));
    if (this.kind === "number") {
      put(this.digits, waiting ? "–" : resource.digits);
      put(this.unit, resource.unit);
      this.#drawSpark(view, now);
    } else if (this.kind === "switch") {
      const { node, name } = resource;
      put(this.word, waiting ? "–" : position(text));
      set(this.button, "aria-label", `${name} of ${node.name || node.uid}`);
      set(this.button, "aria-checked", text === "1" && !waiting);
      set(this.button, "aria-disabled", Boolean(view.frozen || node.left || waiting));
      set(this.button, "aria-busy", command?.state === "pending");
    } else {
      const shown = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
      put(this.value, waiting || !shown ? "–" : shown);
      element.classList.toggle("long", text.length > LONG_TEXT);
    }
  }

  /** The newest sample at the right edge; a gap where nothing was heard. */
  #drawSpark(view, now) {
    const { values, next } = this.resource.ring;
    // What comes too early is drawn by the second's tick.
    if (this.drawn === next || now - this.drawnAt < SPARK_S) return;
    this.drawn = next;
    this.drawnAt = now;
    const known = values.filter((value) => !Number.isNaN(value));
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const middle = (low + high) / 2;
    const least = LEAST_SPAN.get(this.resource.unit) ?? Math.max(Math.abs(middle) / 50, 1e-9);
    const [width, height, edge, scale] = [72, 32, 3, devicePixelRatio];
    // A new value has the whole width soon, and the ring's worth of samples later.
    const oldest = values.findIndex((_, i) => !Number.isNaN(values[(next + i) % SAMPLES]));
    const start = Math.min(oldest, SAMPLES - LEAST_SAMPLES);
    const x = (i) => edge + ((width - 2 * edge) * (i - start)) / (SAMPLES - 1 - start);
    const y = (value) => height / 2 - ((height - 2 * edge) * (value - middle)) / Math.max(high - low, least);
    this.canvas.width = width * scale; // clears it, too
    this.canvas.height = height * scale;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.strokeStyle = pen.fillStyle = view.colour;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    for (let i = start, line = false; i < SAMPLES; i += 1) {
      const value = values[(next + i) % SAMPLES];
      if (Number.isNaN(value)) line = false;
      else if (line) pen.lineTo(x(i), y(value));
      else pen.moveTo(x(i), y(value), (line = true));
    }
    pen.stroke();
    const last = values.at(next - 1);
    pen.beginPath();
    if (!Number.isNaN(last)) pen.arc(x(SAMPLES - 1), y(last), 2.5, 0, 7);
    pen.fill();
  }
}
