// SPDX-License-Identifier: BSD-3-Clause
/** Floor plans of rooms (`/api/plans`): their images, and where nodes are on them. */
import { signal } from "@preact/signals";
import { apiUrl, mayHaveApi } from "../../config";
import type { Node } from "../../model/state";
import { nodeTitle, quote } from "../../model/text";
import { ApiProblem, request } from "../../registryApi";
import { toast } from "../../store";
import { problemText } from "../problemText";
import { t } from "../../i18n";
import { mt } from "../../i18n/map";

/** Shares of the width and the height: 0 to 1. */
export interface Spot {
  x: number;
  y: number;
}

export interface Plan {
  room: string;
  revision: number;
  image: string;
  width: number;
  height: number;
  places: Record<string, Spot>;
}

/** The broker accepts no more. */
const BYTES_MAX = 1024 * 1024;
/** A larger picture is drawn smaller. */
const SIDE_MAX = 2400;
const SIDE_LEAST = 600;
const QUALITY = 0.85;

/** Null until they were read, and where the broker has none. */
export const plans = signal<Plan[] | null>(null);

const urlOf = (room: string): string => `${apiUrl()}plans/${encodeURIComponent(room)}`;

/** Another image has another URL, so that the browser does not show the old one. */
export const imageUrl = ({ room, image }: Plan): string => `${urlOf(room)}/image?v=${image}`;

export async function readPlans(): Promise<void> {
  if (!mayHaveApi()) return;
  const found = (await request("GET", `${apiUrl()}plans`).catch(() => null)) as { plans: Plan[] } | null;
  if (found) plans.value = found.plans;
}

const planOf = (room: string): Plan | undefined => plans.peek()?.find((it) => it.room === room);

function take(plan: Plan): void {
  plans.value = [...(plans.peek() ?? []).filter(({ room }) => room !== plan.room), plan].sort((a, b) => (a.room < b.room ? -1 : 1));
}

function failed(error: unknown): false {
  toast.value = { text: t("problem.failed", { reason: problemText(error) }) };
  return false;
}

const isSame = (a: Spot | undefined, b: Spot | undefined): boolean => a?.x === b?.x && a?.y === b?.y;

/** Save it. An edit of another node's place meanwhile is no conflict. Throws `ApiProblem`. */
async function save(uid: string, room: string, to: Spot | undefined, from: Spot | undefined): Promise<void> {
  const send = async () => take((await request("PATCH", urlOf(room), { places: { [uid]: to ?? null } }, planOf(room)?.revision)) as Plan);
  try {
    await send();
  } catch (error) {
    if (!(error instanceof ApiProblem && error.status === 412)) throw error;
    await readPlans();
    if (!isSame(planOf(room)?.places[uid], from)) throw error;
    await send();
  }
}

/** Put a node on a plan, or take it off, and offer to undo it. Returns whether it was done; if not, the reason is shown. */
export async function spotNode(node: Node, room: string, to: Spot | undefined): Promise<boolean> {
  const from = planOf(room)?.places[node.uid];
  const name = quote(nodeTitle(node));
  const refused = (error: unknown): false => {
    if (!(error instanceof ApiProblem && error.status === 412)) return failed(error);
    toast.value = { text: mt("moved.conflict", { name }) };
    return false;
  };
  try {
    await save(node.uid, room, to, from);
  } catch (error) {
    return refused(error);
  }
  const saved = planOf(room)?.places[node.uid];
  const undo = async () => {
    await save(node.uid, room, from, saved).catch(refused);
    return node.uid;
  };
  toast.value = { text: mt(!to ? "plan.off.done" : from ? "moved" : "placed", { name }), undo };
  return true;
}

/** A small PNG as it is; anything else drawn anew, so that it is small enough and keeps no data of the camera. */
async function fitted(file: Blob): Promise<Blob> {
  if (file.type === "image/png" && file.size <= BYTES_MAX) return file;
  const picture = await createImageBitmap(file);
  for (let side = SIDE_MAX; side >= SIDE_LEAST; side *= 0.75) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(picture.width * scale)), Math.max(1, Math.round(picture.height * scale)));
    canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    // A browser that cannot write WebP writes PNG.
    const blob = await canvas.convertToBlob({ type: "image/webp", quality: QUALITY });
    if (blob.size <= BYTES_MAX) return blob;
  }
  throw new Error(mt("plan.large"));
}

/** Give a room a plan, or another picture. */
export async function upload(room: string, file: Blob): Promise<boolean> {
  let body: Blob;
  try {
    body = await fitted(file);
  } catch {
    toast.value = { text: mt("plan.unreadable") };
    return false;
  }
  try {
    const answer = await fetch(`${urlOf(room)}/image`, { method: "PUT", headers: { "Content-Type": body.type, Accept: "application/json" }, body });
    if (!answer.ok) {
      const { detail = "" } = (await answer.json().catch(() => ({}))) as { detail?: string };
      throw new ApiProblem(answer.status, "", detail || `${answer.status}`);
    }
    take((await answer.json()) as Plan);
    toast.value = { text: mt("plan.saved", { room: quote(room) }) };
    return true;
  } catch (error) {
    return failed(error instanceof ApiProblem ? error : new ApiProblem(0, "unreachable", ""));
  }
}

export async function removePlan(room: string): Promise<void> {
  await request("DELETE", urlOf(room)).catch(failed);
  await readPlans();
}
