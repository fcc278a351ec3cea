// SPDX-License-Identifier: BSD-3-Clause
/** What people add to a node: name, room, tags, notes, intervals, location. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { natural } from "../model/order";
import type { Registered } from "../model/state";
import { ApiProblem, editNode, readNode, type Added, type Edit } from "../registryApi";
import { state } from "../store";
import { problemText } from "./problemText";
import { conflictText } from "./Rename";
import { t, type Key } from "../i18n";
import "../registry.css";

/** The fields of the form, as text. Durations are seconds. */
const NAMES = ["label", "room", "tags", "notes", "interval", "offline_after", "latitude", "longitude"] as const;
type Name = (typeof NAMES)[number];
type Fields = Record<Name, string>;

const numberText = (value: number | null | undefined): string => (value === null || value === undefined ? "" : String(value));
const secondsText = (value: number): string => (value ? String(value) : "");

const ofRegistered = (it: Registered): Fields => ({
  label: it.label,
  room: it.room,
  tags: it.tags.join(", "),
  notes: it.notes,
  interval: secondsText(it.interval),
  offline_after: secondsText(it.offlineAfter),
  latitude: numberText(it.place?.lat),
  longitude: numberText(it.place?.lng),
});

const ofAdded = (it: Added): Fields => ({
  label: it.label,
  room: it.room,
  tags: it.tags.join(", "),
  notes: it.notes,
  interval: secondsText(it.interval_s),
  offline_after: secondsText(it.offline_after_s),
  latitude: numberText(it.latitude),
  longitude: numberText(it.longitude),
});

const tagsOf = (text: string): string[] => [...new Set(text.split(",").map((tag) => tag.trim()))].filter(Boolean);
const numberOf = (text: string): number | null => (text.trim() ? Number(text.replace(",", ".")) : null);

function editOf(draft: Partial<Fields>, all: Fields): Edit {
  const edit: Edit = {};
  if (draft.label !== undefined) edit.label = draft.label.trim();
  if (draft.room !== undefined) edit.room = draft.room.trim();
  if (draft.tags !== undefined) edit.tags = tagsOf(draft.tags);
  if (draft.notes !== undefined) edit.notes = draft.notes;
  if (draft.interval !== undefined) edit.interval_s = numberOf(draft.interval);
  if (draft.offline_after !== undefined) edit.offline_after_s = numberOf(draft.offline_after);
  if (draft.latitude !== undefined || draft.longitude !== undefined) {
    edit.latitude = numberOf(all.latitude);
    edit.longitude = numberOf(all.longitude);
  }
  return edit;
}

/** What the changes are based on: the values when the first one was made. */
interface Base {
  fields: Fields;
  revision: number;
}

export function NodeEditor({ registered }: { registered: Registered }) {
  const draft = useSignal<Partial<Fields>>({});
  const base = useSignal<Base | null>(null);
  /** Fields that someone else has set to something else. */
  const conflicts = useSignal<Partial<Fields>>({});
  const status = useSignal<{ text: string; good: boolean } | null>(null);
  const busy = useSignal(false);
  const there = ofRegistered(registered);
  const now: Fields = { ...there, ...draft.value };
  const isChanged = Object.keys(draft.value).length > 0;

  const change = (name: Name, value: string) => {
    status.value = null;
    base.value ??= { fields: there, revision: registered.revision };
    const next = { ...draft.peek(), [name]: value };
    if (value === base.value.fields[name]) delete next[name];
    draft.value = next;
    if (!Object.keys(next).length) base.value = null;
  };
  const clear = () => {
    draft.value = conflicts.value = {};
    base.value = null;
  };
  const settle = (name: Name, value: string | undefined) => {
    const { [name]: theirs, ...others } = conflicts.peek();
    conflicts.value = others;
    if (value === undefined || theirs === undefined) return;
    const rest = { ...draft.peek() };
    delete rest[name];
    draft.value = rest;
    if (!Object.keys(rest).length) clear();
  };
  const save = async () => {
    const start = base.peek();
    if (!start || busy.peek()) return;
    if (!now.latitude.trim() !== !now.longitude.trim()) {
      status.value = { text: t("edit.both"), good: false };
      return;
    }
    busy.value = true;
    status.value = { text: t("edit.saving"), good: true };
    try {
      await store(start);
    } catch (error) {
      status.value = { text: t("edit.failed", { reason: problemText(error) }), good: false };
    } finally {
      busy.value = false;
    }
  };
  const store = async ({ fields, revision }: Base) => {
    const edit = editOf(draft.peek(), now);
    try {
      await editNode(registered.uid, edit, revision);
    } catch (error) {
      if (!(error instanceof ApiProblem && error.status === 412)) throw error;
      const added = await readNode(registered.uid);
      const theirs = ofAdded(added);
      const different = NAMES.filter((name) => name in draft.peek() && theirs[name] !== fields[name] && theirs[name] !== draft.peek()[name]);
      base.value = { fields: theirs, revision: added.revision };
      if (different.length) {
        conflicts.value = Object.fromEntries(different.map((name) => [name, theirs[name]]));
        status.value = { text: t("edit.check"), good: false };
        return;
      }
      // Others have edited other fields: that is no conflict.
      await editNode(registered.uid, edit, added.revision);
    }
    clear();
    status.value = { text: t("edit.saved"), good: true };
  };

  const field = (name: Name, label: Key, hint?: Key): FieldProperties => ({
    name,
    label: t(label),
    hint: hint && t(hint),
    value: now[name],
    change: (value) => change(name, value),
    theirs: conflicts.value[name],
    settle: (value) => settle(name, value),
  });
  return (
    <section class="editor">
      <h3>{t("edit.title")}</h3>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <Text {...field("label", "edit.label", "edit.label_hint")} max={64} />
        <Text {...field("room", "edit.room")} max={64} choices={roomsOf()} />
        <Text {...field("tags", "edit.tags", "edit.tags_hint")} max={600} wide />
        <Frame {...field("notes", "edit.notes")} wide>
          <textarea id="edit-notes" class="input" rows={2} maxLength={2000} value={now.notes} onInput={(event) => change("notes", event.currentTarget.value)} />
        </Frame>
        <Duration {...field("interval", "edit.interval", "edit.interval_hint")} />
        <Duration {...field("offline_after", "edit.offline_after", "edit.offline_after_hint")} />
        <Text {...field("latitude", "edit.latitude")} pattern="-?[0-9]{1,2}([.,][0-9]+)?" />
        <Text {...field("longitude", "edit.longitude")} pattern="-?[0-9]{1,3}([.,][0-9]+)?" />
        <p class={status.value?.good ? "soft" : "problem"} role="status">
          {status.value?.text}
        </p>
        {isChanged && (
          <div class="buttons left">
            <button type="submit" class="button primary" aria-disabled={busy.value}>
              {t("edit.save")}
            </button>
            <button type="button" class="button" onClick={() => (clear(), (status.value = null))}>
              {t("edit.discard")}
            </button>
          </div>
        )}
      </form>
    </section>
  );
}

interface FieldProperties {
  name: Name;
  label: string;
  hint?: string;
  value: string;
  change: (value: string) => void;
  /** What someone else has set meanwhile. */
  theirs: string | undefined;
  /** It has a line of its own. */
  wide?: boolean;
  /** Take the value of someone else, or with undefined keep one's own. */
  settle: (value: string | undefined) => void;
}

function Frame({ name, label, hint, theirs, settle, wide = false, children }: FieldProperties & { children: ComponentChildren }) {
  return (
    <div class={wide ? "field wide" : "field"}>
      <label for={`edit-${name}`}>{label}</label>
      {children}
      {hint && <span class="hint">{hint}</span>}
      {theirs !== undefined && (
        <div class="conflict">
          <p class="problem">{conflictText(theirs)}</p>
          <div class="buttons left">
            <button type="button" class="button small" onClick={() => settle(theirs)}>
              {t("edit.theirs")}
            </button>
            <button type="button" class="button small" onClick={() => settle(undefined)}>
              {t("edit.mine")}
            </button>
          </div>
        </div>
      )}
    </div>
  );
}

function Text({ max, pattern, choices, ...field }: FieldProperties & { max?: number; pattern?: string; choices?: string[] }) {
  const { name, value, change } = field;
  return (
    <Frame {...field}>
      <input
        id={`edit-${name}`}
        class="input"
        autocomplete="off"
        maxLength={max}
        pattern={pattern}
        inputMode={pattern ? "decimal" : undefined}
        list={choices && `choices-${name}`}
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {choices && (
        <datalist id={`choices-${name}`}>
          {choices.map((choice) => (
            <option key={choice} value={choice} />
          ))}
        </datalist>
      )}
    </Frame>
  );
}

const UNITS = [
  ["edit.seconds", 1],
  ["edit.minutes", 60],
  ["edit.hours", 3600],
] as const;

/** The largest unit in which it is a whole number. */
const unitOf = (seconds: number): number => (seconds && seconds % 3600 === 0 ? 3600 : seconds && seconds % 60 === 0 ? 60 : 1);

function Duration(field: FieldProperties) {
  const { name, label, value, change } = field;
  const seconds = Number(value || NaN);
  const unit = useSignal(unitOf(seconds || 0));
  useEffect(() => {
    if (seconds % unit.peek()) unit.value = unitOf(seconds || 0);
  }, [value]);
  const write = (text: string, size: number) => change(text ? String(Number(text) * size) : "");
  return (
    <Frame {...field}>
      <span class="duration">
        <input
          id={`edit-${name}`}
          class="input"
          type="number"
          min="0"
          step="any"
          value={value ? String(seconds / unit.value) : ""}
          onInput={(event) => write(event.currentTarget.value, unit.peek())}
        />
        <select
          aria-label={t("edit.unit", { name: label })}
          value={String(unit.value)}
          onChange={(event) => {
            const size = Number(event.currentTarget.value);
            const shown = value ? String(seconds / unit.peek()) : "";
            unit.value = size;
            write(shown, size);
          }}
        >
          {UNITS.map(([key, size]) => (
            <option key={key} value={String(size)}>
              {t(key)}
            </option>
          ))}
        </select>
      </span>
    </Frame>
  );
}

function roomsOf(): string[] {
  const rooms = new Set<string>();
  for (const { room } of state.registry.values()) if (room) rooms.add(room);
  return [...rooms].sort(natural);
}
