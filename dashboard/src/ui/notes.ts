// SPDX-License-Identifier: BSD-3-Clause
/** The note below a value: its age, or the state of a command. */
import { ago, duration, fromBroker, momentOf, translate, t, timeText } from "../i18n";
import { isUsual, truthOf } from "../model/resourceTypes";
import type { Resource } from "../model/state";
import { quote } from "../model/text";
import { staleAfter } from "../model/state";
import { clock, state } from "../store";

export interface Note {
  text: string;
  /** Decides colour and mark. */
  kind: "age" | "stale" | "pending" | "good" | "bad" | "unread";
}

/** A time further in the future is that of a wrong clock. */
const AHEAD_S = 30;

export function noteOf(resource: Resource): Note {
  const { command, unread, forgotten } = resource;
  if (command) {
    if (command.state === "pending")
      return { kind: "pending", text: t("command.pending", { value: payloadText(resource, command.payload) }) };
    const good = command.state === "confirmed" || command.state === "sent";
    const text = quote(translate(`outcome.${command.state}`));
    const more =
      command.state === "confirmed"
        ? `${Math.max(1, Math.round(command.elapsed_ms))} ms`
        : command.state === "timeout"
          ? ""
          : quote(fromBroker(command.detail));
    return { kind: good ? "good" : "bad", text: more ? `${text} · ${more}` : text };
  }
  if (unread) return { kind: "unread", text: t("value.unread", { text: quote(unread.slice(0, 60)) }) };
  if (forgotten !== undefined) return { kind: "stale", text: t("value.before_reset") };
  if (!resource.last) return { kind: "age", text: "" }; // such as a button
  if (!resource.ts) return { kind: "stale", text: t("value.retained") };
  if (isOld(resource)) return { kind: "stale", text: t("value.old", { time: momentOf(resource.ts) }) };
  const age = clock() + state.offset - resource.ts;
  if (!state.live) return { kind: "age", text: timeText(resource.ts) };
  if (age < -AHEAD_S) return { kind: "stale", text: t("value.ahead", { age: duration(-age) }) };
  // Switches and scripts are not sent periodically, so an old value is still valid.
  if (age > staleAfter(resource.node) && resource.kind === "number") return { kind: "stale", text: t("value.stale", { age: ago(age) }) };
  return { kind: "age", text: ago(age) };
}

/** A last value of a node that is listed as offline, or that was not accepted. */
export const isOld = ({ node }: Resource): boolean => node.left?.filed ?? false;

export function payloadText(resource: Resource, payload: string): string {
  const truth = resource.type.kind === "boolean" && isUsual(payload) ? truthOf(payload, resource.type) : null;
  if (truth !== null) return t(truth ? "led.on" : "led.off").toLocaleLowerCase(); // within a sentence
  return quote(payload.trim().slice(0, 24));
}
