// SPDX-License-Identifier: BSD-3-Clause
/** The type that people give to a resource: its kind, name, unit, limits, choices, words, and whether it may be written. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import type { Kind } from "../messages";
import { typeOf } from "../model/resourceTypes";
import { natural } from "../model/order";
import { FACTS } from "../model/readings";
import { KINDS, editOf, fieldsOf, textsOf, type TypeField, type TypeTexts } from "../model/typeEdit";
import type { Node, Registered } from "../model/state";
import { ApiProblem, editNode } from "../registryApi";
import { state } from "../store";
import { problemText } from "./problemText";
import { titleOf } from "./rows";
import { r, type TypeKey } from "../i18n/resourceTypes";
import "../registry.css";

export function TypeEditor({ node, registered }: { node: Node; registered: Registered }) {
  const names = [...new Set([...node.resources.keys(), ...Object.keys(registered.types)])].filter((name) => !FACTS.has(name)).sort(natural);
  const chosen = useSignal("");
  if (!names.length) return null;
  const name = names.includes(chosen.value) ? chosen.value : names[0];
  return (
    <section class="editor types">
      <details>
        <summary>{r("title")}</summary>
        <p class="hint">{r("hint")}</p>
        <Field id="type-resource" label={r("resource")}>
          <select id="type-resource" value={name} onChange={(event) => (chosen.value = event.currentTarget.value)}>
            {names.map((it) => (
              <option key={it} value={it}>
                {titleOf(it)}
              </option>
            ))}
          </select>
        </Field>
        <Form key={name} name={name} node={node} registered={registered} />
      </details>
    </section>
  );
}

function Form({ name, node, registered }: { name: string; node: Node; registered: Registered }) {
  const stated = Object.hasOwn(registered.types, name) ? registered.types[name] : {};
  const there = textsOf(stated);
  const draft = useSignal<Partial<TypeTexts>>({});
  const base = useSignal<{ texts: TypeTexts; revision: number } | null>(null);
  const status = useSignal<{ text: string; good: boolean } | null>(null);
  const found = typeOf(state, node.uid, name);
  const now: TypeTexts = { ...there, ...draft.value };
  const kind = (now.kind || found.kind || node.resources.get(name)?.kind) as Kind | undefined;
  const isChanged = Object.keys(draft.value).length > 0;

  const change = (field: TypeField, value: string) => {
    base.value ??= { texts: there, revision: registered.revision };
    draft.value = { ...draft.peek(), [field]: value };
    status.value = null;
  };
  const store = async (edit: object | null, revision: number) => {
    status.value = { text: r("saving"), good: true };
    try {
      await editNode(registered.uid, { types: { [name]: edit } }, revision);
      draft.value = {};
      base.value = null;
      status.value = { text: r("saved"), good: true };
    } catch (error) {
      const isStale = error instanceof ApiProblem && error.status === 412;
      if (isStale) base.value = null; // the next change is based on what is there now
      status.value = { text: isStale ? r("meanwhile") : problemText(error), good: false };
    }
  };
  const save = () => {
    const { texts, revision } = base.peek() ?? { texts: there, revision: registered.revision };
    void store(editOf(texts, { ...texts, ...draft.peek() }, kind), revision);
  };
  const shown = fieldsOf(kind);
  const text = (field: TypeField, label: TypeKey, hint?: TypeKey) =>
    shown.includes(field) && (
      <Field id={`type-${field}`} label={r(label)} hint={hint && r(hint)}>
        <input id={`type-${field}`} class="input" autocomplete="off" maxLength={field === "choices" ? 4200 : 64} placeholder={textsOf(found)[field]} value={now[field]} onInput={(event) => change(field, event.currentTarget.value)} />
      </Field>
    );
  const number = (field: TypeField, label: TypeKey) =>
    shown.includes(field) && (
      <Field id={`type-${field}`} label={r(label)}>
        <input id={`type-${field}`} class="input" type="number" step="any" placeholder={textsOf(found)[field]} value={now[field]} onInput={(event) => change(field, event.currentTarget.value)} />
      </Field>
    );
  const isText = kind === "text";
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <Field id="type-kind" label={r("kind")}>
        <select id="type-kind" value={now.kind} onChange={(event) => change("kind", event.currentTarget.value)}>
          <option value="">{r("kind.", { found: r(`kind.${found.kind ?? node.resources.get(name)?.kind ?? "none"}`) })}</option>
          {KINDS.map((it) => (
            <option key={it} value={it}>
              {r(`kind.${it}`)}
            </option>
          ))}
        </select>
      </Field>
      {text("label", "label")}
      {text("unit", "unit")}
      {number("minimum", isText ? "length_min" : "minimum")}
      {number("maximum", isText ? "length_max" : "maximum")}
      {number("step", "step")}
      {text("on", kind === "command" ? "payload" : "on")}
      {text("off", "off")}
      {text("choices", "choices", "choices.hint")}
      <Field id="type-writable" label={r("writable")}>
        <select id="type-writable" value={now.writable} onChange={(event) => change("writable", event.currentTarget.value)}>
          {(["", "true", "false"] as const).map((it) => (
            <option key={it} value={it}>
              {r(`writable.${it}`)}
            </option>
          ))}
        </select>
      </Field>
      <p class={status.value?.good ? "soft" : "problem"} role="status">
        {status.value?.text}
      </p>
      <div class="buttons left">
        {isChanged && (
          <button type="submit" class="button primary">
            {r("save")}
          </button>
        )}
        {Object.keys(stated).length > 0 && (
          <button type="button" class="button" onClick={() => void store(null, registered.revision)}>
            {r("clear")}
          </button>
        )}
      </div>
    </form>
  );
}

function Field({ id, label, hint, children }: { id: string; label: string; hint?: string; children: ComponentChildren }) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children}
      {hint && <span class="hint">{hint}</span>}
    </div>
  );
}
