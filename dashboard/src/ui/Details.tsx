// SPDX-License-Identifier: BSD-3-Clause
/** The details of a node, with a URL of their own. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { apiUrl, mayHaveApi } from "../config";
import { historyIsOffered, readHistory } from "../history";
import { joinSeries, liveSeries, toCsv, type Series } from "../series";
import { FACTS } from "../model/readings";
import { fact, watch, type Node, type Resource } from "../model/state";
import { navigate, openNode } from "../route";
import { settings } from "../settings";
import { triggerOf, clock, clockOf, link, membership, state } from "../store";
import { allResources, Row, useStateText } from "./Card";
import { Chart, type Span } from "./Chart";
import { Copy, CopyButton } from "./Copy";
import { Drawer } from "./Drawer";
import { Icon } from "./icons";
import { titleOf } from "./rows";
import { ScriptEditor } from "./ScriptEditor";
import { useVisibility } from "./visibility";
import { ago, translate, t, timeOf } from "../i18n";
import "../more.css";

const close = () => navigate({ node: "" });

export function Details() {
  void membership.value;
  const uid = openNode.value;
  const node = state.nodes.get(uid);
  if (!node)
    return (
      <Drawer title={uid} kind="details small" close={close}>
        <div class="empty">
          <h3>{t("details.unknown")}</h3>
          <p>{t("details.unknown_more", { uid })}</p>
        </div>
      </Drawer>
    );
  return (
    <Drawer title={t("details.more", { name: node.name || uid })} kind="details" close={close} head={<Head node={node} />}>
      <Body node={node} />
    </Drawer>
  );
}

function Head({ node }: { node: Node }) {
  void triggerOf(node).value;
  const chip = useStateText(node);
  return (
    <div class="details-title">
      <button type="button" class="button back" onClick={close}>
        ← {t("details.back")}
      </button>
      <h2>{node.name || node.uid}</h2>
      <span class="chip">{chip}</span>
      <span class="uid">{node.uid}</span>
    </div>
  );
}

function Body({ node }: { node: Node }) {
  void triggerOf(node).value;
  const ref = useRef<HTMLDivElement>(null);
  useVisibility(ref, node);
  useEffect(() => watch(node), [node]);
  const resources = allResources(node);
  const numbers = resources.filter(({ kind }) => kind === "number");
  const script = node.resources.get("js");
  return (
    <div ref={ref} class="details-grid">
      <div class="column">
        <section>
          <h3>{t("details.values")}</h3>
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
        {script && <ScriptEditor resource={script} />}
        <Charts node={node} numbers={numbers} />
        <Commands node={node} />
        <Raw node={node} />
      </div>
    </div>
  );
}

const RANGES = [
  ["details.hour", 3600],
  ["details.day", 86_400],
  ["details.week", 604_800],
] as const;

function Charts({ node, numbers }: { node: Node; numbers: Resource[] }) {
  const range = useSignal(3600);
  const own = useSignal<{ from: string; to: string }>({ from: "", to: "" });
  const stored = useSignal<Map<Resource, Series>>(new Map());
  const status = useSignal<"live" | "loading" | "stored" | "failed">("live");
  const problem = useSignal("");
  const now = clock() + state.offset;
  const span: Span = range.value ? { from: Math.floor(now / 10) * 10 - range.value, to: null } : ownSpan(own.value, now);
  const names = numbers.map(({ name }) => name).join();
  useEffect(() => {
    const cancel = new AbortController();
    void (async () => {
      if (!(await historyIsOffered()) || cancel.signal.aborted) return;
      status.value = "loading";
      try {
        const all = await Promise.all(
          numbers.map(async (resource): Promise<[Resource, Series]> => [resource, await readHistory(resource, span.from, span.to ?? now, cancel.signal)]),
        );
        stored.value = new Map(all);
        status.value = "stored";
      } catch (error) {
        if (cancel.signal.aborted) return;
        problem.value = error instanceof Error ? error.message : String(error);
        status.value = "failed";
      }
    })();
    return () => cancel.abort();
  }, [range.value, own.value, names]);
  if (!numbers.length)
    return (
      <section>
        <h3>{t("details.charts")}</h3>
        <p class="soft">{t("details.no_numbers")}</p>
      </section>
    );
  const download = () => {
    const rows = numbers.map((resource) => ({
      name: resource.name,
      unit: resource.unit,
      series: joinSeries(stored.value.get(resource), liveSeries(resource, span.from, span.to ?? Infinity)),
    }));
    save(`${node.uid.replace(/[^\w-]/g, "_")}.csv`, toCsv(node.uid, rows));
  };
  const note = status.value === "live" ? t("details.not_stored") : status.value === "failed" ? t("details.failed", { reason: problem.value }) : status.value === "loading" ? t("details.loading") : t("details.stored");
  return (
    <section>
      <div class="charts-head">
        <h3>{t("details.charts")}</h3>
        <div class="segmented" role="group" aria-label={t("details.charts")}>
          {RANGES.map(([key, seconds]) => (
            <button key={key} type="button" aria-pressed={range.value === seconds} onClick={() => (range.value = seconds)}>
              {t(key)}
            </button>
          ))}
          <button type="button" aria-pressed={range.value === 0} onClick={() => (range.value = 0)}>
            {t("details.own")}
          </button>
        </div>
        <button type="button" class="button small" onClick={download}>
          {t("details.csv")}
        </button>
      </div>
      {range.value === 0 && (
        <div class="own-range">
          {(["from", "to"] as const).map((end) => (
            <label key={end} class="field">
              <span>{t(`details.${end}`)}</span>
              <input class="input" type="datetime-local" value={own.value[end]} onChange={(event) => (own.value = { ...own.peek(), [end]: event.currentTarget.value })} />
            </label>
          ))}
        </div>
      )}
      <p class="hint">{note}</p>
      {numbers.map((resource) => (
        <Chart key={resource.name} resource={resource} span={span} stored={stored.value.get(resource)} />
      ))}
    </section>
  );
}

function ownSpan({ from, to }: { from: string; to: string }, now: number): Span {
  const seconds = (text: string) => (text ? new Date(text).getTime() / 1000 : NaN);
  const start = seconds(from);
  const end = seconds(to);
  return { from: Number.isNaN(start) ? now - 3600 : start, to: Number.isNaN(end) ? null : end };
}

function save(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function Info({ node }: { node: Node }) {
  void clockOf(node).value;
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
        {rows.map(([name, value]) => (
          <Fact key={name} name={name} value={value} />
        ))}
        {node.gateway && <Fact name={t("filter.gateway")} value={node.gateway} />}
        <Fact name={t("details.online_since")} value={timeOf(node.since)} />
        <Fact name={t("details.last_seen")} value={ago(clock() + state.offset - node.lastSeen)} />
      </dl>
      <div class="buttons left">
        <CopyButton text={location.href} label={t("details.link")} />
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
    <dd>{value}</dd>
  </div>
);

/** A shell command that reads or switches this node. */
function programFor(node: Node): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const name = ["led", ...node.resources.keys()].find((its) => node.resources.has(its) && !FACTS.has(its));
  if (!name || link.value.legacy || !mayHaveApi()) return "";
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
              {titleOf(command.name)} = <code>{command.payload.trim().slice(0, 60)}</code>
            </span>
            <span class="outcome">
              {translate(`outcome.${command.state}`)}
              {command.state === "confirmed" && ` · ${Math.max(1, Math.round(command.elapsed_ms))} ms`}
              {command.detail && ` · ${command.detail}`}
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
          <pre tabIndex={0}>{[...node.raw].reverse().map((message) => JSON.stringify(message)).join("\n")}</pre>
        </>
      )}
    </details>
  );
}
