// SPDX-License-Identifier: BSD-3-Clause
/** The details of a node, with a URL of their own. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { apiUrl, mayHaveApi } from "../config";
import { showAuditOf } from "../auditApi";
import { historyIsOffered, readHistory } from "../history";
import { curvesOf, CURVES_SHOWN, linesOf, type Curves } from "../curves";
import { joinSeries, liveSeries, niceStep, toCsv, windowOf, type Range, type Stored } from "../series";
import { FACTS } from "../model/readings";
import { isAdmin, mayCommand, mayEdit } from "../info";
import { fact, findNode, watch, type Node, type Registered, type Resource } from "../model/state";
import { nodeTitle, quote, visible, visibleJson } from "../model/text";
import { navigate, openNode } from "../route";
import { settings } from "../settings";
import { triggerOf, clock, clockOf, joined, link, membership, state } from "../store";
import { allResources, isRenamed, Row, startRenaming, useNodeState, useStateText } from "./Card";
import { Chart, curvesTitle } from "./Chart";
import { Copy, CopyButton } from "./Copy";
import { Drawer } from "./Drawer";
import { accept, ban, forget } from "./edits";
import { Icon } from "./icons";
import { NodeEditor } from "./NodeEditor";
import { lazy } from "./lazy";
import { Rename } from "./Rename";
import { titleOf } from "./rows";
import { ScriptEditor } from "./ScriptEditor";
import { useVisibility } from "./visibility";
import { ago, duration, formatNumber, translate, t, timeOf } from "../i18n";
import { au } from "../i18n/audit";
import "../more.css";

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
        <h2>
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
      <div class="column">
        <section>
          <h3>{t("details.values")}</h3>
          <Admission node={node} />
          <div class="rows">
            {resources
              .filter(({ name }) => name !== "js")
              .map((resource) => (
                <Row key={resource.name} resource={resource} />
              ))}
          </div>
        </section>
        <Info node={node} />
      </div>
      <div class="column">
        {script && mayCommand.value && <ScriptEditor resource={script} />}
        <Charts node={node} all={curvesOf(resources)} />
        {node.registered && mayEdit.value && <NodeEditor registered={node.registered} />}
        {node.registered && mayEdit.value && <TypeEditor node={node} registered={node.registered} />}
        <Commands node={node} />
        <Raw node={node} />
      </div>
    </div>
  );
}

const TypeEditor = lazy<{ node: Node; registered: Registered }>(() => import("./TypeEditor").then((it) => it.TypeEditor));

const SHORT_S = 600;
const RANGES = [
  ["details.minutes", SHORT_S],
  ["details.hour", 3600],
  ["details.day", 86_400],
  ["details.week", 604_800],
] as const;

/** The history is read again after this time, or after a step: the samples here go back only so far. */
const READ_AGAIN_S = 60;

function Charts({ node, all }: { node: Node; all: Curves[] }) {
  // An hour of a node that has just come would be an empty chart.
  const isNew = node.since > 0 && clock() + state.offset - node.since < SHORT_S;
  // Of a node that is offline: the hour before that.
  const isAway = node.left?.filed === true && node.lastSeen > 0;
  const seconds = useSignal<number>(isAway ? 0 : isNew ? SHORT_S : 3600);
  const own = useSignal(isAway ? { from: localText(node.lastSeen - 3600), to: localText(node.lastSeen + 60) } : { from: "", to: "" });
  const stored = useSignal<Map<Resource, Stored>>(new Map());
  const status = useSignal<"live" | "loading" | "stored" | "failed">("live");
  const problem = useSignal("");
  const chosen = useSignal<Set<string> | null>(null);
  const now = clock() + state.offset;
  const range: Range = seconds.value ? { from: NaN, to: null, seconds: seconds.value } : ownRange(own.value, now);
  const isShown = (key: string) => (chosen.value ? chosen.value.has(key) : all.findIndex((its) => its.key === key) < CURVES_SHOWN);
  const shown = all.filter(({ key }) => isShown(key));
  // Without a history there is nothing to draw of a node that was not online here.
  const drawn = shown.filter(({ resource, vector }) => vector || !isAway || resource.ring || status.value !== "live");
  const numbers = shown.filter(({ vector }) => !vector).map(({ resource }) => resource);
  const names = numbers.map(({ name }) => name).join("\n");
  useEffect(() => {
    const cancel = new AbortController();
    const read = async (first: boolean) => {
      if (!(await historyIsOffered()) || cancel.signal.aborted) return;
      if (first) status.value = "loading";
      const [from, to] = windowOf(range, clock() + state.offset);
      try {
        const all = await Promise.all(
          numbers.map(async (resource): Promise<[Resource, Stored]> => [resource, await readHistory(resource, from, to, cancel.signal)]),
        );
        stored.value = new Map(all);
        status.value = "stored";
      } catch (error) {
        if (cancel.signal.aborted || !first) return; // what was read before is still right
        problem.value = error instanceof Error ? error.message : String(error);
        status.value = "failed";
      }
    };
    void read(true);
    const again = Math.max(READ_AGAIN_S, niceStep(range.seconds));
    const timer = range.to === null ? setInterval(() => void (document.hidden || read(false)), again * 1000) : 0;
    return () => {
      cancel.abort();
      clearInterval(timer);
    };
  }, [seconds.value, own.value, names]);
  if (!all.length)
    return (
      <section>
        <h3>{t("details.charts")}</h3>
        <p class="soft">{t("details.no_numbers")}</p>
      </section>
    );
  const download = () => {
    const [from, to] = windowOf(range, clock() + state.offset);
    const rows = all.flatMap((curves) =>
      linesOf(curves).map(({ name, ring }) => ({
        name: name ? `${curves.key} ${name}` : curves.key,
        unit: curves.resource.unit,
        series: joinSeries(curves.vector ? undefined : stored.value.get(curves.resource), liveSeries(ring, from, to)),
      })),
    );
    save(`${node.uid.replace(/[^\w-]/g, "_")}.csv`, toCsv(node.uid, rows));
  };
  const choose = (key: string, show: boolean) => {
    const others = shown.map((its) => its.key).filter((its) => its !== key);
    chosen.value = new Set(show ? [...others, key] : others);
  };
  const step = [...stored.value.values()].find(({ times }) => times.length)?.step;
  const note =
    status.value === "live"
      ? t("details.not_stored")
      : status.value === "failed"
        ? t("details.failed", { reason: problem.value })
        : status.value === "loading"
          ? t("details.loading")
          : `${t("details.stored")}${step ? ` ${t("details.mean", { age: duration(step) })}` : ""}`;
  return (
    <section>
      <div class="charts-head">
        <h3>{t("details.charts")}</h3>
        <div class="segmented" role="group" aria-label={t("details.charts")}>
          {RANGES.map(([key, length]) => (
            <button key={key} type="button" aria-pressed={seconds.value === length} onClick={() => (seconds.value = length)}>
              {t(key)}
            </button>
          ))}
          <button type="button" aria-pressed={seconds.value === 0} onClick={() => (seconds.value = 0)}>
            {t("details.own")}
          </button>
        </div>
        <button type="button" class="button small" onClick={download}>
          {t("details.csv")}
        </button>
      </div>
      {seconds.value === 0 && (
        <div class="own-range">
          {(["from", "to"] as const).map((end) => (
            <label key={end} class="field">
              <span>{t(`details.${end}`)}</span>
              <input class="input" type="datetime-local" value={own.value[end]} onChange={(event) => (own.value = { ...own.peek(), [end]: event.currentTarget.value })} />
            </label>
          ))}
        </div>
      )}
      {all.length > CURVES_SHOWN && (
        <fieldset class="curves">
          <legend>{t("details.choose")}</legend>
          {all.map((curves) => (
            <label key={curves.key} class="check">
              <input type="checkbox" checked={isShown(curves.key)} onChange={(event) => choose(curves.key, event.currentTarget.checked)} />
              {curvesTitle(curves)}
            </label>
          ))}
        </fieldset>
      )}
      {numbers.length > 0 && <p class="hint">{note}</p>}
      {drawn.map((curves) => (
        <Chart key={curves.key} curves={curves} range={range} stored={curves.vector ? undefined : stored.value.get(curves.resource)} />
      ))}
      {shown.some(({ vector }) => vector) && status.value !== "live" && <p class="hint">{t("details.vectors")}</p>}
    </section>
  );
}

/** A time as an input of the type `datetime-local` has it. */
function localText(ts: number): string {
  const date = new Date(ts * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function ownRange({ from, to }: { from: string; to: string }, now: number): Range {
  const seconds = (text: string) => (text ? new Date(text).getTime() / 1000 : NaN);
  const start = seconds(from);
  const end = seconds(to);
  return { from: Number.isNaN(start) ? now - 3600 : start, to: Number.isNaN(end) ? null : end, seconds: 0 };
}

function save(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

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
  const command = programFor(node);
  return (
    <section>
      <h3>{t("details.info")}</h3>
      <dl class="facts">
        <Fact name="uid" value={node.uid} />
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
      {command && <Copy text={command} label={t("details.curl")} />}
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

function Commands({ node }: { node: Node }) {
  void clockOf(node).value;
  return (
    <section>
      <h3>{t("details.commands")}</h3>
      {node.log.length === 0 && <p class="soft">{t("details.no_commands")}</p>}
      <ol class="log">
        {node.log.map((command) => (
          <li key={command.id} data-state={command.state}>
            <time>{timeOf(command.ts)}</time>
            <span>
              {titleOf(command.name)} = <code>{visible(command.payload.trim().slice(0, 60))}</code>
            </span>
            <span class="outcome">
              {quote(translate(`outcome.${command.state}`))}
              {command.state === "confirmed" && ` · ${Math.max(1, Math.round(command.elapsed_ms))} ms`}
              {command.detail && ` · ${quote(command.detail)}`}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Raw({ node }: { node: Node }) {
  const open = useSignal(false);
  if (open.value) void clockOf(node).value;
  return (
    <details class="raw" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{t("details.raw")}</summary>
      {open.value && (
        <>
          <p class="hint">{t("details.raw_hint", { n: node.raw.length })}</p>
          <pre tabIndex={0}>{[...node.raw].reverse().map((message) => visibleJson(JSON.stringify(message))).join("\n")}</pre>
        </>
      )}
    </details>
  );
}
