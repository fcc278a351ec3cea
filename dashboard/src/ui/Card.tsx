// SPDX-License-Identifier: BSD-3-Clause
/** The card of a node: name, state, and a row for each resource. */
import { effect, signal, useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { natural } from "../model/order";
import { FACTS } from "../model/readings";
import { fact, nodeState, type Node, type NodeState, type Resource } from "../model/state";
import { nodeTitle, quote, visible } from "../model/text";
import { nodeLink } from "../route";
import { settings } from "../settings";
import { triggerOf, clock, clockOf, hideNode, hovered, link, state } from "../store";
import { mayEdit } from "../info";
import { layout, togglePin } from "../layout";
import { Icon, type IconName } from "./icons";
import { lazy } from "./lazy";
import { rendererOf } from "./registry";
import { estimatedSpan, useMasonry } from "./masonry";
import { useVisibility } from "./visibility";
import { isOld } from "./notes";
import { isRenamed, startRenaming, type Place } from "./renaming";
import { NumberRow, TextRow } from "./rows";
import { duration, reasonText, t, timeOf } from "../i18n";

/** The state of the node, as a signal. */
export function useNodeState(node: Node) {
  return useComputed<NodeState>(() => {
    void clockOf(node).value;
    void triggerOf(node).value;
    void link.value;
    return nodeState(state, node, clock());
  });
}

/** The node whose menu is open. */
export const menu = signal<Node | null>(null);

/** Why and when a node left, for the tip of its chip. */
function useReason(node: Node) {
  return useComputed(() => {
    void triggerOf(node).value;
    if (!node.left) return "";
    return [quote(reasonText(node.left.reason || "silent")), node.left.ts && timeOf(node.left.ts)].filter(Boolean).join(" · ");
  });
}

/** Text of the state. Empty while the node is live. */
export function useStateText(node: Node) {
  const how = useNodeState(node);
  return useComputed(() => {
    void clockOf(node).value;
    const now = clock();
    switch (how.value) {
      case "live":
      case "discovering":
      case "silent":
        return "";
      case "waiting":
      case "banned":
        return t(`state.${how.value}`);
      case "left":
        if (node.left?.filed && node.registered && !node.lastSeen) return t("offline.never");
        return t("state.left", { age: duration(Math.max(0, now - (node.left?.at ?? now))) });
      case "lost":
        return t("state.lost");
      case "frozen":
        return t("state.frozen");
      case "stale":
        return t("state.stale", { age: duration(Math.max(0, now + state.offset - node.lastSeen)) });
      case "quiet":
        return t("state.quiet", { age: duration(Math.max(0, now + state.offset - node.lastSeen)) });
    }
  });
}

/** The resources that a card shows, in a stable order. */
export function shownResources(node: Node): Resource[] {
  const hidden = settings.hiddenResources.value;
  return allResources(node).filter(({ name }) => !hidden.includes(name));
}

/** All resources except facts, in the same order. */
export function allResources(node: Node): Resource[] {
  return [...node.resources.values()]
    .filter(({ name }) => !FACTS.has(name) && name !== "dwnld")
    .sort((a, b) => order(a) - order(b) || rank(a) - rank(b) || natural(a.name, b.name));
}

const order = (resource: Resource): number => rendererOf(resource)?.order ?? (resource.kind === "number" ? 0 : 1);
const RANKS = "temperature humidity pressure illuminance uvindex eco2 tvoc tsp tlp".split(" ");
const rank = ({ name }: Resource): number => {
  const place = RANKS.indexOf(name);
  return place < 0 ? RANKS.length : place;
};

export function Card({ node }: { node: Node }) {
  void triggerOf(node).value; // signals skip a component whose properties are the same
  const ref = useRef<HTMLLIElement>(null);
  useVisibility(ref, node);
  useMasonry(ref);
  const how = useNodeState(node);
  const over = useComputed(() => hovered.value === node);
  const resources = shownResources(node);
  return (
    <li
      ref={ref}
      style={{ "--rows": resources.length, "--span": estimatedSpan(resources.length) }}
      class={node.fresh ? "card fresh" : "card"}
      data-state={how}
      data-uid={node.uid}
      data-over={over}
      onMouseEnter={() => (hovered.value = node)}
      onMouseLeave={() => (hovered.value = null)}
    >
      <Head node={node} />
      {resources.length > 0 && (
        <div class="rows">
          {resources.map((resource) => (
            <Row key={resource.name} resource={resource} />
          ))}
        </div>
      )}
      <Discovery node={node} />
    </li>
  );
}

const PRELOAD_MS = 1500;

const loadRename = () => import("./Rename").then((it) => it.Rename);
const Rename = lazy<{ node: Node; place: Place }>(loadRename);
// Loaded before it is needed: what is typed after F2 must not be lost.
effect(() => {
  if (mayEdit.value) setTimeout(() => void loadRename().catch(() => undefined), PRELOAD_MS);
});

function Head({ node }: { node: Node }) {
  void triggerOf(node).value; // signals skip a component whose properties are the same
  const chip = useStateText(node);
  const more = useReason(node);
  const title = nodeTitle(node);
  const about = [fact(node, "os"), fact(node, "board"), fact(node, "dialect"), fact(node, "protocol")].filter(Boolean).map(quote).join(" · ");
  const isPinned = layout.value.pins.includes(node.uid);
  const name = quote(title);
  return (
    <div class="head">
      {isRenamed(node, "card") ? (
        <Rename node={node} place="card" />
      ) : (
        <h3 data-tip={`${title}\n${visible(node.uid)}`}>
          <a {...nodeLink(node.uid)} onKeyDown={(event) => event.key === "F2" && startRenaming(event, node, "card")}>
            {title}
          </a>
        </h3>
      )}
      <span class="about">
        <span class="chip" data-tip={more}>
          {chip}
        </span>
        {about && (
          <span class="line" data-tip="">
            {about}
          </span>
        )}
      </span>
      <span class="quick">
        <Quick icon="grip" label={t("node.move_of", { name })} press={() => undefined} onPointerDown={(event) => grip(event, node)} onKeyDown={(event) => gripKey(event, node)} />
        {mayEdit.value && <Quick icon="rename" label={t("rename.of", { name })} tip={`${t("rename")} (F2)`} press={(event) => startRenaming(event, node, "card")} />}
        <Quick icon="hide" label={t("node.hide_of", { name })} tip={t("node.hide")} press={() => hideNode(node)} />
        <Quick icon="pin" label={t(isPinned ? "node.unpin_of" : "node.pin_of", { name })} on={isPinned} press={() => togglePin(node.uid)} />
        <Quick icon="more" label={t("node.menu_of", { name })} press={() => (menu.value = node)} />
      </span>
    </div>
  );
}

interface QuickProperties {
  icon: IconName;
  label: string;
  tip?: string;
  on?: boolean;
  press: (event: Event) => void;
  onPointerDown?: (event: PointerEvent) => void;
  onKeyDown?: (event: KeyboardEvent) => void;
}

/** A small button in the head of a card. On a touch screen, a menu has what they do. */
function Quick({ icon, label, tip = label, on = false, press, ...listeners }: QuickProperties) {
  return (
    <button type="button" class={`quiet-button quick-${icon}`} title={tip} aria-label={label} data-on={on} onClick={press} {...listeners}>
      <Icon name={icon} />
    </button>
  );
}

const arrange = () => import("./arrange");

function grip(event: PointerEvent, node: Node): void {
  const handle = event.currentTarget as HTMLElement;
  void arrange().then((it) => it.arrangeByPointer(event, node.uid, handle));
}

function gripKey(event: KeyboardEvent, node: Node): void {
  if (!/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return;
  event.preventDefault();
  const handle = event.currentTarget as HTMLElement;
  void arrange().then((it) => it.arrangeByKey(event.key, node.uid, handle));
}

/** Shown while a node has no resources yet. */
function Discovery({ node }: { node: Node }) {
  const how = useNodeState(node);
  const text = useComputed(() => {
    if (how.value === "discovering") return t("state.discovering");
    if (how.value === "silent") return t("state.no_answer", { time: timeOf(node.since || node.firstSeen) });
    return "";
  });
  const hidden = useComputed(() => !text.value);
  return (
    <p class="wait" hidden={hidden}>
      {text}
    </p>
  );
}

/** The row of the resource: by its name if it is known, else by its type. */
export function Row({ resource }: { resource: Resource }) {
  const special = rendererOf(resource);
  // A control is of no use while the node is not there.
  if (special && !(special.isControl && isOld(resource))) return <special.Row resource={resource} />;
  return resource.kind === "number" ? <NumberRow resource={resource} /> : <TextRow resource={resource} />;
}
