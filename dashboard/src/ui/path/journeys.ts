// SPDX-License-Identifier: BSD-3-Clause
/** Follows commands and the rates of nodes while the path is shown. */
import { signal } from "@preact/signals";
import { historyIsOffered, readCommands } from "../../history";
import { isSame, Rates, withJourney, type Journey } from "../../model/topology";
import { findNode, type LocalEvent } from "../../model/state";
import type { ToClient } from "../../messages";
import { clock, past, state, taps } from "../../store";

/** Commands of others are read from the history. */
const READ_MS = 3000;
const BACK_S = 300;
const PAGE = "10";

export const rates = new Rates();
export const journeys = signal<Journey[]>([]);

/** Called when a command leaves, and again when its receipt is there. */
export type Travel = (journey: Journey) => void;

/** Follow until the returned function is called. */
export function follow(travel: Travel): () => void {
  const known = new Set<string>();
  let isFirst = true;
  const tap = (list: (ToClient | LocalEvent)[]) => {
    for (const message of list)
      if (message.type === "update") {
        if (state.joined && !past.peek()) rates.add(message.uid); // not the state that a page gets at first
      }
      else if (message.type === "command_sent") {
        const { id, resource, payload } = message;
        change({ id, uid: resource.node.uid, gateway: resource.node.gateway, name: resource.name, payload, ts: clock() + state.offset, who: null, outcome: null, elapsed_ms: null });
      } else if (message.type === "receipt") {
        const own = journeys.peek().find(({ id }) => id === message.id);
        if (own) change({ ...own, outcome: message.state, elapsed_ms: message.elapsed_ms ?? null });
      }
  };
  const change = (journey: Journey) => {
    journeys.value = withJourney(journeys.peek(), journey);
    travel(journey);
  };
  const read = async () => {
    if (document.hidden || past.peek() || !(await historyIsOffered())) return;
    const from = clock() + state.offset - BACK_S;
    const { rows } = await readCommands({ from: String(Math.max(0, from)), limit: PAGE });
    for (const { ts, uid, resource, payload, who, state: outcome, elapsed_ms } of [...rows].reverse()) {
      const id = `${ts} ${uid} ${resource}`;
      if (journeys.peek().some((own) => own.id.startsWith("page-") && isSame(own, { uid, resource, payload, ts }))) continue;
      const before = journeys.peek().find((its) => its.id === id);
      if (before && before.outcome === outcome) continue;
      const journey: Journey = { id, uid, gateway: findNode(state, uid)?.gateway ?? "", name: resource, payload, ts, who, outcome, elapsed_ms };
      journeys.value = withJourney(journeys.peek(), journey);
      if (!isFirst && !known.has(`${id} ${outcome}`)) travel(journey);
      known.add(`${id} ${outcome}`);
    }
    isFirst = false;
  };
  taps.add(tap);
  const again = () => void read().catch(() => undefined); // the next time
  again();
  const timers = [setInterval(again, READ_MS), setInterval(() => rates.tick(), 1000)];
  return () => {
    taps.delete(tap);
    timers.forEach((timer) => clearInterval(timer));
  };
}
