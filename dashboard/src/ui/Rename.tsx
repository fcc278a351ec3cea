// SPDX-License-Identifier: BSD-3-Clause
/** Renames a node in place: Enter saves, Escape cancels. */
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Node } from "../model/state";
import { nodeTitle, quote } from "../model/text";
import { ApiProblem, editNode, readNode } from "../registryApi";
import { problemText } from "./problemText";
import { renaming, type Place } from "./renaming";
import { t } from "../i18n";
import "../registry.css";

const LABEL_LENGTH_MAX = 64;

export function Rename({ node, place }: { node: Node; place: Place }) {
  const before = useRef(node.registered);
  const text = useSignal(node.registered?.label || node.name);
  const busy = useSignal(false);
  const failure = useSignal("");
  /** What someone else named it meanwhile, and the revision of that. */
  const theirs = useSignal<{ label: string; revision: number } | null>(null);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => input.current?.select(), []);
  const close = () => {
    renaming.value = null;
    requestAnimationFrame(() => {
      const link = document.querySelector<HTMLElement>(place === "card" ? `#nodes [data-uid="${CSS.escape(node.uid)}"] h3 a` : ".details-title .rename-name");
      link?.focus();
      link?.scrollIntoView({ block: "nearest" });
    });
  };
  const save = async (revision = theirs.peek()?.revision ?? before.current?.revision) => {
    const label = text.peek().trim();
    if (busy.peek()) return;
    busy.value = true;
    failure.value = "";
    try {
      await editNode(node.uid, { label: label || null }, revision);
      close();
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 412) await compare(label);
      else failure.value = t("edit.failed", { reason: problemText(error) });
    } finally {
      busy.value = false;
    }
  };
  /** Someone edited the node meanwhile: only another name is a conflict. */
  const compare = async (label: string) => {
    try {
      const now = await readNode(node.uid);
      if (now.label === label) return close();
      if (now.label !== before.current?.label) {
        theirs.value = now;
        return;
      }
      await editNode(node.uid, { label: label || null }, now.revision);
      close();
    } catch (error) {
      failure.value = t("edit.failed", { reason: problemText(error) });
    }
  };
  const name = quote(nodeTitle(node));
  const note = failure.value || (theirs.value ? conflictText(theirs.value.label) : t("rename.hint"));
  return (
    <form
      class="rename"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key !== "Escape") return;
        event.preventDefault();
        close();
      }}
    >
      <input
        ref={input}
        class="input"
        aria-label={t("rename.input", { name })}
        aria-describedby="rename-note"
        aria-invalid={failure.value !== "" || theirs.value !== null}
        maxLength={LABEL_LENGTH_MAX}
        autocomplete="off"
        placeholder={node.name || node.uid}
        value={text.value}
        readOnly={busy.value}
        onInput={(event) => (text.value = event.currentTarget.value)}
      />
      <p id="rename-note" class={failure.value || theirs.value ? "problem" : "soft"} role="status">
        {note}
      </p>
      <div class="buttons">
        <button type="submit" class="button small primary">
          {t(theirs.value ? "edit.mine" : "edit.save")}
        </button>
        <button type="button" class="button small" onClick={close}>
          {t(theirs.value ? "edit.theirs" : "cancel")}
        </button>
      </div>
    </form>
  );
}

export const conflictText = (value: string): string => (value ? t("edit.meanwhile", { value: quote(value) }) : t("edit.meanwhile_empty"));
