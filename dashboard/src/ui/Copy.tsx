// SPDX-License-Identifier: BSD-3-Clause
/** A command and a button that copies it. */
import { useSignal } from "@preact/signals";
import { visible } from "../model/text";
import { t } from "../i18n";

export function Copy({ text, label }: { text: string; label?: string }) {
  return (
    <div class="copy">
      <code>{visible(text)}</code>
      <CopyButton text={text} label={label} />
    </div>
  );
}

export function CopyButton({ text, label }: { text: string | (() => string); label?: string }) {
  const done = useSignal<"" | "copied" | "failed">("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      done.value = "copied";
    } catch {
      done.value = "failed"; // the clipboard needs HTTPS or localhost
    }
    setTimeout(() => (done.value = ""), 2000);
  };
  return (
    <button type="button" class="button" onClick={() => void copy()}>
      {done.value === "copied" ? t("copy.done") : done.value === "failed" ? t("copy.failed") : (label ?? t("copy"))}
    </button>
  );
}
