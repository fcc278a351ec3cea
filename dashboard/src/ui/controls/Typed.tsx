// SPDX-License-Identifier: BSD-3-Clause
/** Controls of resources that may be written, by their type: number, choice, text, colour, button. */
import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { hexOf } from "../../model/colour";
import type { Resource } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { sendCommand, triggerOf } from "../../store";
import { Digits, RowFrame, nameOf, textValue, useOff } from "../rows";
import { t } from "../../i18n";
import "../../typed.css";

export function TypedRow({ resource }: { resource: Resource }) {
  void triggerOf(resource.node).value; // its name
  const { kind, choices } = resource.type;
  if (kind === "command") return <Buttons resource={resource} />;
  if (kind === "enum" && choices?.length) return <Choice resource={resource} choices={choices} />;
  if (kind === "colour") return <Colour resource={resource} />;
  if (kind === "number") return <NumberInput resource={resource} />;
  return <TextInput resource={resource} />;
}

/** Its name for people who do not see it. */
const labelOf = (resource: Resource): string => t("control.of", { what: nameOf(resource), name: quote(nodeTitle(resource.node)) });

/** Draws with each value. */
const useText = (resource: Resource) => useComputed(() => (void triggerOf(resource).value, resource.text));

function Buttons({ resource }: { resource: Resource }) {
  const off = useOff(resource);
  const text = useText(resource);
  const send = (payload: string) => {
    if (!off.peek()) sendCommand(resource, payload);
  };
  const { choices, on } = resource.type;
  return (
    <RowFrame resource={resource} kind="switch">
      <span class="value typed">
        {text.value && <span data-tip="">{visible(text.value)}</span>}
        {choices ? (
          choices.map((choice) => (
            <button key={choice} type="button" class="button small" aria-disabled={off} aria-label={`${visible(choice)}: ${labelOf(resource)}`} onClick={() => send(choice)}>
              {visible(choice)}
            </button>
          ))
        ) : (
          <button type="button" class="button small" aria-disabled={off} aria-label={`${t("control.press")}: ${labelOf(resource)}`} onClick={() => send(on ?? "1")}>
            {t("control.press")}
          </button>
        )}
      </span>
    </RowFrame>
  );
}

function Choice({ resource, choices }: { resource: Resource; choices: readonly string[] }) {
  const off = useOff(resource);
  const text = useText(resource);
  const known = choices.includes(text.value);
  return (
    <RowFrame resource={resource} kind="switch">
      <span class="value typed">
        <select
          class="input"
          aria-label={labelOf(resource)}
          disabled={off}
          value={text}
          onChange={(event) => {
            const { value } = event.currentTarget;
            event.currentTarget.value = resource.text; // it changes when the node confirms
            sendCommand(resource, value);
          }}
        >
          {!known && <option value={text.value}>{visible(text.value) || "–"}</option>}
          {choices.map((choice) => (
            <option key={choice} value={choice}>
              {visible(choice)}
            </option>
          ))}
        </select>
      </span>
    </RowFrame>
  );
}

function Colour({ resource }: { resource: Resource }) {
  const off = useOff(resource);
  const value = useComputed(() => {
    void triggerOf(resource).value;
    return hexOf(resource.text);
  });
  return (
    <RowFrame resource={resource} kind="switch">
      <span class="value typed">
        <span data-tip="">{useText(resource)}</span>
        <input type="color" class="input" aria-label={labelOf(resource)} disabled={off} value={value} onChange={(event) => sendCommand(resource, event.currentTarget.value)} />
      </span>
    </RowFrame>
  );
}

function NumberInput({ resource }: { resource: Resource }) {
  const { minimum, maximum, step } = resource.type;
  const off = useOff(resource);
  const draft = useSignal("");
  const unit = useComputed(() => (void triggerOf(resource).value, visible(resource.unit)));
  const value = useComputed(() => (void triggerOf(resource).value, Number.isFinite(resource.value) ? String(resource.value) : ""));
  const common = { min: minimum, max: maximum, step: step ?? "any", "aria-label": labelOf(resource), disabled: off };
  const isRange = minimum !== undefined && maximum !== undefined;
  const send = (text: string) => {
    if (text && !off.peek()) sendCommand(resource, text);
  };
  return (
    <RowFrame resource={resource} kind="switch">
      <span class="value typed">
        <span>
          <Digits resource={resource} />
          <span class="unit">{unit}</span>
        </span>
        {isRange ? (
          <input type="range" {...common} step={step ?? (maximum - minimum) / 100} value={value} onChange={(event) => send(event.currentTarget.value)} />
        ) : (
          <Draft draft={draft.value} off={off.value} save={() => (send(draft.peek()), (draft.value = ""))}>
            <input type="number" class="input" {...common} value={draft} onInput={(event) => (draft.value = event.currentTarget.value)} />
          </Draft>
        )}
      </span>
    </RowFrame>
  );
}

function TextInput({ resource }: { resource: Resource }) {
  const { minimum, maximum } = resource.type;
  const off = useOff(resource);
  const draft = useSignal("");
  const text = useComputed(() => (void triggerOf(resource).value, textValue(resource)));
  const save = () => {
    if (!off.peek()) sendCommand(resource, draft.peek());
    draft.value = "";
  };
  return (
    <RowFrame resource={resource} kind="switch">
      <span class="value typed">
        <span data-tip="">{text}</span>
        <Draft draft={draft.value} off={off.value} save={save}>
          <input class="input" aria-label={labelOf(resource)} disabled={off} minLength={minimum} maxLength={maximum} value={draft} onInput={(event) => (draft.value = event.currentTarget.value)} />
        </Draft>
      </span>
    </RowFrame>
  );
}

/** A field that is sent with Enter or its button. */
function Draft({ draft, off, save, children }: { draft: string; off: boolean; save: () => void; children: ComponentChildren }) {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (draft) save();
      }}
    >
      {children}
      <button type="submit" class="button small" aria-disabled={off || !draft}>
        {t("control.set")}
      </button>
    </form>
  );
}
