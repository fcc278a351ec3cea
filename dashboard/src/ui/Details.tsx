// SPDX-License-Identifier: BSD-3-Clause
/** The details of a node, with a URL of their own. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { apiUrl, mayHaveApi } from "../config";
import { showAuditOf } from "../auditApi";
import { FACTS } from "../model/readings";
import { isAdmin, mayCommand, mayEdit } from "../info";
import { fact, findNode, watch, type Node, type Registered } from "../model/state";
import { nodeTitle, quote, visible, visibleJson } from "../model/text";
import { navigate, openNode } from "../route";
import { settings } from "../settings";
import { triggerOf, clock, clockOf, joined, link, membership, state } from "../store";
import { allResources, Row, useNodeState, useStateText } from "./Card";
import { isRenamed, startRenaming } from "./renaming";
import { Copy, CopyButton } from "./Copy";
import { Charts } from "./details/Charts";
import { NodeActivity } from "./details/NodeActivity";
import { Drawer } from "./Drawer";
import { accept, ban, forget } from "./edits";
import { Icon } from "./icons";
import { NodeEditor } from "./NodeEditor";
import { lazy } from "./lazy";
import { Rename } from "./Rename";
import { titleOf } from "./rows";
import { ScriptEditor } from "./ScriptEditor";
import { useVisibility } from "./visibility";
import { ago, formatNumber, t, timeOf } from "../i18n";
import { au } from "../i18n/audit";
import { d } from "../i18n/details";
export { ValueDetails } from "./details/ValueDetails"; // one part: its style sheets keep their order
import "../more.css";
import "../details.css";

const close = () => navigate({ node: "" });

export function Details() {
  void membership.value;
  const uid = openNode.value;
  const node = findNode(state, uid);
  if (!node && !joined.value) return null; // it may come with the answer of the broker
  if (!node)
    return (
      <Drawer title={visible(uid)} kind="details small" close={close}>
        <div class="empty">
          <h3>{t("details.unknown")}</h3>
          <p>{t(state.registry.size || !state.nodes.size ? "details.never_seen" : "details.unknown_more", { uid: quote(uid) })}</p>
        </div>
      </Drawer>
    );
  return (
    <Drawer title={t("details.more", { name: quote(nodeTitle(node)) })} kind="details" close={close} head={<Head node={node} />}>
      <Body node={node} />
    </Drawer>
  );
}

function Head({ node }: { node: Node }) {
  void triggerOf(node).value;
  const chip = useStateText(node);
  return (
    <div class="details-title" data-state={useNodeState(node)}>
      <button type="button" class="button back" onClick={close}>
        ← {t("details.back")}
      </button>
      {isRenamed(node, "details") ? (
        <Rename node={node} place="details" />
      ) : (
        <h2 aria-label={quote(nodeTitle(node))}>
          {mayEdit.value && node.registered ? (
            <button type="button" class="rename-name" aria-label={t("rename.of", { name: quote(nodeTitle(node)) })} title={t("rename")} onClick={(event) => startRenaming(event, node, "details")}>
              {nodeTitle(node)} <Icon name="rename" />
            </button>
          ) : (
            nodeTitle(node)
          )}
        </h2>
      )}
      <span class="chip">{chip}</span>
      <span class="uid">{visible(node.uid)}</span>
    </div>
  );
}

function Body({ node }: { node: Node }) {
  void triggerOf(node).value;
  const ref = useRef<HTMLDivElement>(null);
  useVisibility(ref, node);
  useEffect(() => watch(node), [node]);
  const resources = allResources(node);
  const script = node.resources.get("js");
  return (
    <div ref={ref} class="details-grid">
      <Admission node={node} />
      <Charts node={node} resources={resources} />
      <div class="details-columns">
        <div class="column">
          <section>
            <h3>{d("controls")}</h3>
            <div class="rows">
              {resources
                .filter(({ name }) => name !== "js")
                .map((resource) => (
                  <Row key={resource.name} resource={resource} />
                ))}
            </div>
          </section>
          {script && mayCommand.value && <ScriptEditor resource={script} />}
        </div>
        <div class="column">
          <NodeActivity node={node} />
          <Info node={node} />
          {node.registered && mayEdit.value && <NodeEditor registered={node.registered} />}
          {node.registered && mayEdit.value && <TypeEditor node={node} registered={node.registered} />}
          <Developer node={node} />
        </div>
      </div>
    </div>
  );
}

const TypeEditor = lazy<{ node: Node; registered: Registered }>(() => import("./TypeEditor").then((it) => it.TypeEditor));

/** Why there are no controls, and what can be done. */
function Admission({ node }: { node: Node }) {
  const { registered } = node;
  if (!registered || (!node.left?.filed && registered.state === "online")) return null;
  const { state: how, firstSeen } = registered;
  const text = how === "waiting" ? t("newcomers.text") : how === "banned" ? t("ban.text") : firstSeen ? "" : t("details.added");
  if (!text) return null;
  return (
    <div class="admission">
      <p class="soft">{text}</p>
      {how === "waiting" && mayEdit.value && (
        <div class="buttons left">
          <button type="button" class="button primary" onClick={() => void accept([registered])}>
            {t("accept")}
          </button>
          <button type="button" class="button" onClick={() => void ban([registered])}>
            {t("refuse")}
          </button>
        </div>
      )}
    </div>
  );
}

/** Forget the node, ban it, or lift its ban. */
function Farewell({ registered }: { registered: Registered }) {
  if (!mayEdit.value) return null;
  const { state: how } = registered;
  return (
    <>
      {how === "offline" && (
        <button
          type="button"
          class="button"
          onClick={() => {
            close();
            void forget([registered]);
          }}
        >
          {t("forget")}
        </button>
      )}
      {how === "banned" ? (
        <button type="button" class="button" onClick={() => void accept([registered])}>
          {t("ban.lift")}
        </button>
      ) : (
        how !== "waiting" && (
          <button type="button" class="button" title={t("ban.text")} onClick={() => void ban([registered])}>
            {t("ban")}
          </button>
        )
      )}
    </>
  );
}

function Info({ node }: { node: Node }) {
  void clockOf(node).value;
  const { registered } = node;
  const rows: [string, string][] = [...FACTS].filter((name) => name !== "name" && fact(node, name)).map((name) => [titleOf(name), fact(node, name)]);
  const hidden = settings.hiddenNodes.value.includes(node.uid);
  const toggle = () => {
    const others = settings.hiddenNodes.peek().filter((uid) => uid !== node.uid);
    settings.hiddenNodes.value = hidden ? others : [...others, node.uid];
  };
  return (
    <section>
      <h3>{t("details.info")}</h3>
      <dl class="facts">
        <Fact name="Uid" value={node.uid} />
        {registered?.label && node.name && <Fact name={t("details.device_name")} value={node.name} />}
        {registered && !mayEdit.value && (
          <>
            {registered.room && <Fact name={t("edit.room")} value={registered.room} />}
            {registered.tags.length > 0 && <Fact name={t("tags")} value={registered.tags.join(", ")} />}
            {registered.notes && <Fact name={t("edit.notes")} value={registered.notes} />}
          </>
        )}
        {rows.map(([name, value]) => (
          <Fact key={name} name={name} value={value} />
        ))}
        {node.gateway && <Fact name={t("filter.gateway")} value={node.gateway} />}
        {node.since > 0 && <Fact name={t("details.online_since")} value={timeOf(node.since)} />}
        {registered && registered.firstSeen > 0 && <Fact name={t("details.first_seen")} value={timeOf(registered.firstSeen)} />}
        {node.lastSeen > 0 && <Fact name={t("details.last_seen")} value={node.left?.filed ? timeOf(node.lastSeen) : ago(clock() + state.offset - node.lastSeen)} />}
        {registered && registered.boots > 0 && <Fact name={t("details.boots")} value={formatNumber(registered.boots)} />}
      </dl>
      <div class="buttons left">
        <CopyButton text={location.href} label={t("details.link")} />
        {registered && <Farewell registered={registered} />}
        {registered && isAdmin.value && (
          <button type="button" class="button" onClick={() => showAuditOf(node.uid)}>
            {au("open")}
          </button>
        )}
        <button type="button" class="button" onClick={toggle}>
          <Icon name="hide" /> {t(hidden ? "details.unhide" : "details.hide")}
        </button>
      </div>
    </section>
  );
}

const Fact = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{visible(value)}</dd>
  </div>
);

/** A shell command that reads or switches this node. */
function programFor(node: Node): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const name = ["led", ...node.resources.keys()].find((its) => node.resources.has(its) && !FACTS.has(its));
  if (!name || node.left || link.value.legacy || !mayHaveApi()) return "";
  const url = `${apiUrl()}nodes/${encodeURIComponent(node.uid)}/resources/${encodeURIComponent(name)}`;
  return name === "led" ? `curl -X PUT -d 1 ${quoted(url)}` : `curl ${quoted(url)}`;
}

/** What programs get and send. */
function Developer({ node }: { node: Node }) {
  const open = useSignal(false);
  void triggerOf(node).value;
  if (open.value) void clockOf(node).value;
  const command = programFor(node);
  return (
    <details class="raw" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{d("developer")}</summary>
      {open.value && (
        <>
          {command && <Copy text={command} label={t("details.curl")} />}
          <h4>{t("details.raw")}</h4>
          <p class="hint">{t("details.raw_hint", { n: node.raw.length })}</p>
          <pre tabIndex={0}>{[...node.raw].reverse().map((message) => visibleJson(JSON.stringify(message))).join("\n")}</pre>
        </>
      )}
    </details>
  );
}
