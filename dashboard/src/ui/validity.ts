// SPDX-License-Identifier: BSD-3-Clause
/** What is wrong with the input of a form, in the language of the page: the browser has its own. */
import { localDigits } from "../i18n";
import { vt, type ValidityKey } from "../i18n/validity";

type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

const isField = (target: EventTarget | null): target is Field =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;

const KINDS = ["badInput", "valueMissing", "rangeUnderflow", "rangeOverflow", "stepMismatch", "tooShort", "tooLong", "patternMismatch"] as const satisfies readonly (ValidityKey & keyof ValidityState)[];

function messageOf(field: Field): string {
  const kind = KINDS.find((it) => field.validity[it]);
  if (!kind) return "";
  const limit = (name: string) => localDigits(field.getAttribute(name) ?? "");
  if (kind === "badInput" && field.type !== "number") return vt("badTime");
  if (kind === "rangeUnderflow") return vt(kind, { limit: limit("min") });
  if (kind === "rangeOverflow") return vt(kind, { limit: limit("max") });
  if (kind === "tooShort") return vt(kind, { limit: limit("minlength") });
  if (kind === "tooLong") return vt(kind, { limit: limit("maxlength") });
  return vt(kind, { step: limit("step") });
}

/** Replace the messages of the browser in all forms. Returns what ends it. */
export function listenToInvalid(): () => void {
  /** A field with a message is invalid until it is cleared: before the next check of the form. */
  const marked = new Set<Field>();
  const clear = () => {
    for (const field of marked) field.setCustomValidity("");
    marked.clear();
  };
  const invalid = ({ target }: Event) => {
    if (!isField(target)) return;
    target.setCustomValidity("");
    target.setCustomValidity(messageOf(target));
    marked.add(target);
  };
  const before = ["input", "click", "keydown"] as const;
  addEventListener("invalid", invalid, true);
  for (const name of before) addEventListener(name, clear, true);
  return () => {
    removeEventListener("invalid", invalid, true);
    for (const name of before) removeEventListener(name, clear, true);
    clear();
  };
}
