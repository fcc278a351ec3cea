// SPDX-License-Identifier: BSD-3-Clause
/** What people do to nodes: requests to the broker, a notice, and what can be undone. */
import { quote } from "../model/text";
import type { Registered } from "../model/state";
import { editNodes, forgetNodes, restoreNodes } from "../registryApi";
import { problemText } from "./problemText";
import { question, titleByUid, toast } from "../store";
import { count, t } from "../i18n";

/** Do it, and show a failure. Returns whether it succeeded. */
async function tried(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    toast.value = { text: t("problem.failed", { reason: problemText(error) }) };
    return false;
  }
}

export async function forget(nodes: readonly Registered[]): Promise<void> {
  const name = nodes.length === 1 ? titleByUid(nodes[0].uid) : "";
  let gone: string[] = [];
  if (!(await tried(async () => (gone = await forgetNodes(nodes.map(({ uid }) => uid)))))) return;
  if (!gone.length) {
    toast.value = { text: t("problem.failed", { reason: t("problem.online") }) };
    return;
  }
  toast.value = {
    text: name ? t("forgotten.name", { name: quote(name) }) : count("forgotten", gone.length),
    undo: async () => {
      const failed = await restoreNodes(gone);
      if (failed) toast.value = { text: t("restored.not", { n: failed }) };
      return gone[0];
    },
    takesFocus: true,
  };
}

export function confirmForget(nodes: readonly Registered[]): void {
  question.value = {
    title: count("forget.ask", nodes.length),
    text: t("forget.text"),
    action: count("forget.do", nodes.length),
    act: () => void forget(nodes),
  };
}

export const accept = (nodes: readonly Registered[]): Promise<boolean> => admit(nodes, "accepted");
export const ban = (nodes: readonly Registered[]): Promise<boolean> => admit(nodes, "banned");

const admit = (nodes: readonly Registered[], admission: "accepted" | "banned"): Promise<boolean> =>
  tried(() =>
    editNodes(
      nodes.map(({ uid }) => uid),
      { admission },
    ),
  );

export function confirmRefuse(nodes: readonly Registered[]): void {
  question.value = {
    title: count("refuse.ask", nodes.length),
    text: t("refuse.text"),
    action: count("refuse.do", nodes.length),
    act: () => void ban(nodes),
  };
}
