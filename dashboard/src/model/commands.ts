// SPDX-License-Identifier: BSD-3-Clause
/** Commands of this page, from their start to their outcome. */
import { happen, touch } from "./changes";
import { COMMANDS_MAX, CONFIRMED_S, FAILED_S, type CommandState, type Resource, type State } from "./types";

/** Kinds whose confirmed payload is their value. */
const HOLD_A_VALUE: ReadonlySet<string | undefined> = new Set(["boolean", "enum", "colour"]);

/** Seconds for which the outcome is shown at the resource. */
export const shownFor = ({ state }: CommandState): number =>
  state === "pending" ? Infinity : state === "confirmed" || state === "sent" ? CONFIRMED_S : FAILED_S;

export function issue(state: State, id: string, resource: Resource, payload: string, now: number): void {
  const command: CommandState = {
    id,
    uid: resource.node.uid,
    name: resource.name,
    payload,
    state: "pending",
    detail: "",
    elapsed_ms: 0,
    at: now,
    ts: now + state.offset,
    reported: false,
  };
  resource.command = command;
  resource.node.log.unshift(command);
  resource.node.log.length = Math.min(resource.node.log.length, COMMANDS_MAX);
  state.commands.set(id, resource);
  touch(state, resource);
}

export function finish(
  state: State,
  id: string,
  outcome: CommandState["state"],
  detail: string,
  now: number,
  elapsed_ms?: number,
): void {
  const resource = state.commands.get(id);
  if (!resource) return;
  state.commands.delete(id);
  const command = resource.node.log.find((entry) => entry.id === id);
  if (!command) return;
  command.elapsed_ms = elapsed_ms ?? (now - command.at) * 1000;
  command.state = outcome;
  command.detail = detail;
  command.at = now;
  // The node reported the value; if it did not, the confirmation implies it.
  if (outcome === "confirmed" && !command.reported && resource.kind === "text" && HOLD_A_VALUE.has(resource.type.kind))
    resource.text = command.payload;
  happen(state, now, {
    kind: "command",
    what: `outcome.${outcome}`,
    uid: resource.node.uid,
    detail: `${resource.name} = ${command.payload.slice(0, 60)}`,
    why: detail,
    good: outcome === "confirmed" || outcome === "sent",
  });
  touch(state, resource);
}
