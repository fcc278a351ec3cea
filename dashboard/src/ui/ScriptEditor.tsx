// SPDX-License-Identifier: BSD-3-Clause
/** The script editor: the script on the node, a draft, and the answer of the node. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Editor } from "../editor";
import type { Resource } from "../model/state";
import { quote } from "../model/text";
import { draft } from "../settings";
import { sendCommand, triggerOf, isLive } from "../store";
import { NoteLine } from "./rows";
import { fromBroker, translate, t } from "../i18n";

export function ScriptEditor({ resource }: { resource: Resource }) {
  const { node } = resource;
  const place = useRef<HTMLDivElement>(null);
  const sendButton = useRef<HTMLButtonElement>(null);
  const editor = useRef<Editor | null>(null);
  const text = useSignal(draft.read(node.uid) ?? resource.text);
  const onNode = useComputed(() => (void triggerOf(resource).value, resource.text));
  const differs = useComputed(() => text.value !== onNode.value);
  const off = useComputed(() => (void triggerOf(node).value, !isLive.value || node.left !== null));
  const busy = useComputed(() => (void triggerOf(resource).value, resource.command?.state === "pending"));
  const last = useComputed(() => {
    void triggerOf(resource).value;
    const command = node.log.find((entry) => entry.name === resource.name && entry.state !== "pending");
    return command ? `${translate(`outcome.${command.state}`)}${command.detail ? ` · ${quote(fromBroker(command.detail))}` : ""}` : "";
  });
  const send = () => {
    if (!off.peek() && !busy.peek()) sendCommand(resource, text.peek(), 10);
  };
  const show = (start: string) => {
    void import("../editor").then(({ makeEditor }) => {
      if (!place.current) return;
      editor.current?.destroy();
      editor.current = makeEditor(place.current, {
        text: start,
        original: onNode.peek(),
        label: t("script.title"),
        changed: (now) => {
          text.value = now;
          draft.write(node.uid, now === onNode.peek() ? null : now);
        },
        send,
        leave: () => sendButton.current?.focus(),
      });
    });
  };
  // The script on the node changed, so the differences did. The draft is kept.
  useEffect(() => {
    const draftThere = draft.read(node.uid) !== null && draft.read(node.uid) !== onNode.value;
    if (!draftThere) {
      draft.write(node.uid, null);
      text.value = onNode.value;
    }
    show(text.peek());
  }, [onNode.value]);
  useEffect(() => () => editor.current?.destroy(), []);
  const revert = () => {
    draft.write(node.uid, null);
    text.value = onNode.peek();
    show(onNode.peek());
  };
  return (
    <section class="script-editor">
      <h3>{t("script.title")}</h3>
      <div ref={place} class="editor-place" />
      <p class="hint">
        {differs.value ? t("script.draft") : t("script.same")} {t("script.hint")}
      </p>
      <div class="buttons left">
        <button ref={sendButton} type="button" class="button primary" aria-disabled={off.value || busy.value} onClick={send}>
          {busy.value ? t("script.sending") : t("script.send")}
        </button>
        {differs.value && (
          <button type="button" class="button" onClick={revert}>
            {t("script.revert")}
          </button>
        )}
        <NoteLine resource={resource} />
      </div>
      {last.value && (
        <p class="answer">
          <span class="soft">{t("script.answer")}:</span> {last}
        </p>
      )}
    </section>
  );
}
