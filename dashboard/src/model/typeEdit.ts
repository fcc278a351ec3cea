// SPDX-License-Identifier: BSD-3-Clause
/** The fields of the editor of a resource type, and the edit that they make. */
import type { Kind, ResourceType } from "../messages";

export const KINDS: readonly Kind[] = ["number", "boolean", "enum", "text", "command", "colour", "position", "vector", "json"];
/** As text; empty: not set by people. */
export const TYPE_FIELDS = ["kind", "label", "unit", "minimum", "maximum", "step", "choices", "on", "off", "writable"] as const;
export type TypeField = (typeof TYPE_FIELDS)[number];
export type TypeTexts = Record<TypeField, string>;
/** Members that are absent stay, null clears. */
export type TypeEdit = Partial<Record<TypeField, string | number | boolean | string[] | null>>;

const FIELDS: Readonly<Record<Kind, readonly TypeField[]>> = {
  number: ["unit", "minimum", "maximum", "step"],
  boolean: ["on", "off"],
  enum: ["choices"],
  text: ["minimum", "maximum"],
  command: ["on", "choices"],
  colour: [],
  position: [],
  vector: [],
  json: [],
};

/** The fields that mean something for a kind. */
export const fieldsOf = (kind: Kind | undefined): readonly TypeField[] => ["kind", "label", ...(kind ? FIELDS[kind] : []), "writable"];

export const textsOf = (it: ResourceType): TypeTexts => ({
  kind: it.kind ?? "",
  label: it.label ?? "",
  unit: it.unit ?? "",
  minimum: String(it.minimum ?? ""),
  maximum: String(it.maximum ?? ""),
  step: String(it.step ?? ""),
  choices: (it.choices ?? []).join(", "),
  on: it.on ?? "",
  off: it.off ?? "",
  writable: String(it.writable ?? ""),
});

/** The changes from what people set before. Fields that mean nothing for the kind are cleared. */
export function editOf(before: TypeTexts, after: TypeTexts, kind: Kind | undefined): TypeEdit {
  const edit: TypeEdit = {};
  const meant = fieldsOf(kind);
  for (const field of TYPE_FIELDS) {
    const text = meant.includes(field) ? after[field].trim() : "";
    if (text !== before[field]) edit[field] = text ? valueOf(field, text) : null;
  }
  return edit;
}

function valueOf(field: TypeField, text: string): string | number | boolean | string[] {
  if (field === "minimum" || field === "maximum" || field === "step") return Number(text.replace(",", "."));
  if (field === "choices") return [...new Set(text.split(",").map((word) => word.trim()))].filter(Boolean);
  return field === "writable" ? text === "true" : text;
}
