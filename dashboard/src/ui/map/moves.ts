// SPDX-License-Identifier: BSD-3-Clause
/** Gives nodes a place in the registry, with a notice that undoes it. */
import type { Position } from "../../model/readings";
import type { Node } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { ApiProblem, editNode, readNode, type Added } from "../../registryApi";
import { toast } from "../../store";
import { problemText } from "../problemText";
import { t } from "../../i18n";
import { mt } from "../../i18n/map";

const editOf = (to: Position | null) => ({ latitude: to?.lat ?? null, longitude: to?.lng ?? null });

const isAt = ({ latitude, longitude }: Added, at: Position | null): boolean => latitude === (at?.lat ?? null) && longitude === (at?.lng ?? null);

/** Save the place. An edit of something else meanwhile is no conflict. Throws `ApiProblem`. */
async function save({ uid }: Node, to: Position | null, from: Position | null, revision: number): Promise<number> {
  try {
    return (await editNode(uid, editOf(to), revision)).revision;
  } catch (error) {
    if (!(error instanceof ApiProblem && error.status === 412)) throw error;
    const now = await readNode(uid);
    if (isAt(now, to)) return now.revision;
    if (!isAt(now, from)) throw error;
    return (await editNode(uid, editOf(to), now.revision)).revision;
  }
}

/** Move a node, and offer to undo it. Returns whether it was moved; if not, the reason is shown. */
export async function moveNode(node: Node, to: Position): Promise<boolean> {
  const { registered } = node;
  if (!registered) return false;
  const from = registered.place;
  const name = quote(nodeTitle(node));
  const failed = (error: unknown): false => {
    const isConflict = error instanceof ApiProblem && error.status === 412;
    toast.value = { text: isConflict ? mt("moved.conflict", { name }) : t("problem.failed", { reason: problemText(error) }) };
    return false;
  };
  try {
    const revision = await save(node, to, from, registered.revision);
    const undo = async () => {
      await save(node, from, to, revision).catch(failed);
      return node.uid;
    };
    toast.value = { text: mt(from ? "moved" : "placed", { name }), undo };
    return true;
  } catch (error) {
    return failed(error);
  }
}
