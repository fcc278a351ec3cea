// SPDX-License-Identifier: BSD-3-Clause
/** The form of a mapping. While somebody types, the broker is queried for the result. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { formOf, guessRoles, payloadOf, PAYLOADS, ROLES, tryMapping, type PayloadForm, type Role, type TopicMapping, type Tried } from "../mappingsApi";
import { visible } from "../model/text";
import { ApiProblem } from "../registryApi";
import { problemText } from "./problemText";
import { m } from "../i18n/topics";

export function reasonOf(error: unknown): string {
  if (!(error instanceof ApiProblem)) throw error;
  return error.kind === "unreachable" ? m("unreachable") : problemText(error);
}

/** What is in the form. `id` empty: a new mapping. */
export interface Draft {
  id: string;
  /** A topic of a message. */
  topic: string;
  /** What its levels are. */
  roles: Role[];
  /** Nobody chose the roles yet. */
  isGuess: boolean;
  mapping: TopicMapping;
}

const TRY_AFTER_MS = 250;

export function MappingForm({ draft, save, cancel }: { draft: Draft; save: (id: string, mapping: TopicMapping) => Promise<void>; cancel: () => void }) {
  const it = useSignal(draft);
  const payload = useSignal("");
  const tried = useSignal<Tried | null>(null);
  const { topic, roles, mapping } = it.value;
  const form: PayloadForm = mapping.payload ?? "text";
  const set = (change: Partial<Draft>) => (it.value = { ...it.value, ...change });
  const setMapping = (change: TopicMapping | Partial<TopicMapping>) => set({ mapping: { ...it.peek().mapping, ...change } });
  const guess = (text: string, kind: PayloadForm): Role[] => (it.peek().isGuess ? guessRoles(text, kind) : it.peek().roles);
  const choosePayload = (kind: PayloadForm) => set({ roles: guess(it.peek().topic, kind), mapping: { ...it.peek().mapping, payload: kind } });
  const whole = fitting({ ...mapping, topic: formOf(topic, roles) });
  const trial = JSON.stringify([whole, topic, payload.value]);
  useEffect(() => {
    if (!topic || !payload.peek()) {
      tried.value = null;
      return;
    }
    let isOld = false;
    const timer = setTimeout(() => {
      tryMapping(whole, topic, payload.peek()).then(
        (found) => !isOld && (tried.value = found),
        (error: unknown) => !isOld && (tried.value = { problem: reasonOf(error) }),
      );
    }, TRY_AFTER_MS);
    return () => {
      isOld = true;
      clearTimeout(timer);
    };
  }, [trial]);
  const submit = (event: Event) => {
    event.preventDefault();
    void save(it.peek().id, whole);
  };
  return (
    <form class="mapping-form" onSubmit={submit} aria-label={m("form", { name: visible(topic) })}>
      <label class="field">
        <span>{m("topic")}</span>
        <input class="input" required maxLength={256} value={topic} autocomplete="off" autocapitalize="off" spellcheck={false} autofocus
          onInput={({ currentTarget: { value } }) => set({ topic: value, roles: guess(value, form) })} />
      </label>
      {topic && (
        <fieldset class="levels">
          <legend>{m("levels")}</legend>
          {topic.split("/").map((level, index) => (
            <label key={index}>
              <code>{visible(level)}</code>
              <select aria-label={m("level.of", { name: visible(level) })} value={roles[index] ?? "fixed"}
                onChange={({ currentTarget: { value } }) => set({ isGuess: false, roles: topic.split("/").map((_, at) => (at === index ? (value as Role) : (roles[at] ?? "fixed"))) })}>
                {ROLES.map((role) => (
                  <option key={role} value={role}>
                    {m(`role.${role}`)}
                  </option>
                ))}
              </select>
            </label>
          ))}
        </fieldset>
      )}
      {topic && !roles.includes("node") && (
        <label class="field">
          <span>{m("node")}</span>
          <input class="input" required maxLength={64} value={mapping.node ?? ""} onInput={({ currentTarget: { value } }) => setMapping({ node: value })} />
        </label>
      )}
      <label class="field">
        <span>{m("payload")}</span>
        <textarea value={payload.value} spellcheck={false}
          onInput={({ currentTarget: { value } }) => {
            payload.value = value;
            choosePayload(payloadOf(value, form));
          }} />
      </label>
      <Result tried={tried.value} units={mapping.units ?? {}} setUnit={(resource, unit) => setMapping({ units: { ...it.peek().mapping.units, [resource]: unit } })} />
      <div class="pair">
        <label class="field">
          <span>{m("kind")}</span>
          <select value={form} onChange={({ currentTarget: { value } }) => choosePayload(value as PayloadForm)}>
            {PAYLOADS.map((kind) => (
              <option key={kind} value={kind}>
                {m(`kind.${kind}`)}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>{m("command")}</span>
          <input class="input" maxLength={256} value={mapping.command ?? ""} spellcheck={false} autocapitalize="off" onInput={({ currentTarget: { value } }) => setMapping({ command: value })} />
          <small>{m("command.hint")}</small>
        </label>
      </div>
      {form === "csv" && (
        <label class="field">
          <span>{m("columns")}</span>
          <input class="input" required value={(mapping.columns ?? []).join(",")} onInput={({ currentTarget: { value } }) => setMapping({ columns: value.split(",").map((name) => name.trim()) })} />
          <small>{m("columns.hint")}</small>
        </label>
      )}
      {form === "json" && (
        <label class="field">
          <span>{m("fields")}</span>
          <textarea defaultValue={Object.entries(mapping.fields ?? {}).map(([name, path]) => `${name}=${path}`).join("\n")} spellcheck={false}
            onInput={({ currentTarget: { value } }) => setMapping({ fields: pairs(value) })} />
          <small>{m("fields.hint")}</small>
        </label>
      )}
      <div class="buttons">
        <button type="submit" class="button primary">
          {m("save")}
        </button>
        <button type="button" class="button" onClick={cancel}>
          {m("cancel")}
        </button>
      </div>
    </form>
  );
}

/** The node and the values of the message, with a unit for each number. */
function Result({ tried, units, setUnit }: { tried: Tried | null; units: Record<string, string>; setUnit: (resource: string, unit: string) => void }) {
  return (
    <section class="tried" aria-live="polite">
      <h3>{m("result")}</h3>
      {!tried && <p class="hint">{m("paste")}</p>}
      {tried?.problem && <p class="bad">{visible(tried.problem)}</p>}
      {tried?.uid && (
        <>
          <p>
            <strong>{visible(tried.name ?? "")}</strong> <code>{visible(tried.uid)}</code>
          </p>
          <table>
            <thead>
              <tr>
                <th scope="col">{m("resource")}</th>
                <th scope="col">{m("value")}</th>
                <th scope="col">{m("unit")}</th>
              </tr>
            </thead>
            <tbody>
              {(tried.values ?? []).map(({ resource, data, unit, type }) => (
                <tr key={resource}>
                  <td>{visible(resource)}</td>
                  <td>
                    {visible(typeof data === "string" ? data : JSON.stringify(data))} {visible(unit ?? "")}
                  </td>
                  <td>
                    {type.kind === "number" && (
                      <input class="input" maxLength={16} aria-label={m("unit.of", { name: visible(resource) })} value={units[resource] ?? ""} onInput={({ currentTarget: { value } }) => setUnit(resource, value)} />
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </section>
  );
}

/** `name=path` on each line. */
function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    if (at > 0 && line.slice(at + 1).trim()) found[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return found;
}

/** The mapping without the members that its payload does not have, and without empty ones. */
function fitting({ topic, payload = "text", fields = {}, columns = [], units = {}, node = "", command = "" }: TopicMapping): TopicMapping {
  const kept: TopicMapping = { topic };
  if (payload !== "text") kept.payload = payload;
  if (payload === "json" && Object.keys(fields).length) kept.fields = fields;
  if (payload === "csv") kept.columns = columns;
  const used = Object.fromEntries(Object.entries(units).filter(([, unit]) => unit));
  if (Object.keys(used).length) kept.units = used;
  if (node && !topic.includes("{node}")) kept.node = node;
  if (command) kept.command = command;
  return kept;
}
