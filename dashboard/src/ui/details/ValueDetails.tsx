// SPDX-License-Identifier: BSD-3-Clause
/** One value of a node, with a URL of its own: its chart, its last changes, and what it is. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { historyIsOffered, readSamples } from "../../history";
import { problemText } from "../problemText";
import { shortDigits, shortNumber } from "../../model/figures";
import { readVectors, textOf } from "../../model/readings";
import { findNode, watch, type Node, type Resource } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { lastChanges } from "../../model/valueChanges";
import type { Sample } from "../../model/segments";
import { navigate, nodeLink, openNode, openValue } from "../../route";
import { joined, membership, past, state, triggerOf } from "../../store";
import { Row, useNodeState, useStateText } from "../Card";
import { CopyButton } from "../Copy";
import { Drawer } from "../Drawer";
import { nameOf, textValue, titleOf, vectorName } from "../rows";
import { useVisibility } from "../visibility";
import { localDigits, t, timeOf } from "../../i18n";
import { d } from "../../i18n/details";
import { r } from "../../i18n/resourceTypes";
import { Charts } from "./Charts";
import { brokerTime } from "./context";

/** Readings that are read to find the last changes. */
const READINGS = 500;
const CHANGES = 20;
const DAYS_30_S = 30 * 86_400;
/** Longer texts are cut in the list. */
const TEXT_MAX = 200;

/** `over`: it was opened in the details of the node, which are below it. */
export function ValueDetails({ over }: { over: boolean }) {
  void membership.value;
  const [uid, name] = [openNode.value, openValue.value];
  const close = () => navigate(over ? { value: "" } : { node: "" });
  const node = findNode(state, uid);
  if (node) void triggerOf(node).value;
  const resource = node?.resources.get(name);
  if (!joined.value && !resource) return null; // it may come with the answer of the broker
  if (!node || !resource)
    return (
      <Drawer title={titleOf(name)} kind="details small" close={close}>
        <div class="empty">
          <p>{d("value.unknown", { name: quote(titleOf(name)), node: quote(node ? nodeTitle(node) : uid) })}</p>
          {node && (
            <a class="button" {...nodeLink(uid)}>
              {t("details.more", { name: quote(nodeTitle(node)) })}
            </a>
          )}
        </div>
      </Drawer>
    );
  const title = nameOf(resource);
  return (
    <Drawer title={d("value.of", { name: title, node: quote(nodeTitle(node)) })} kind="details one" close={close} head={<Head node={node} title={title} close={close} />}>
      <Body key={name} resource={resource} />
    </Drawer>
  );
}

function Head({ node, title, close }: { node: Node; title: string; close: () => void }) {
  const chip = useStateText(node);
  return (
    <div class="details-title" data-state={useNodeState(node)}>
      <button type="button" class="button back" onClick={close}>
        ← {t("details.back")}
      </button>
      <h2>{title}</h2>
      <span class="chip">{chip}</span>
      <span class="whose">
        <a {...nodeLink(node.uid)}>{nodeTitle(node)}</a>
      </span>
    </div>
  );
}

function Body({ resource }: { resource: Resource }) {
  const { node } = resource;
  const ref = useRef<HTMLDivElement>(null);
  useVisibility(ref, node);
  useEffect(() => watch(node), [node]);
  const resources = useMemo(() => [resource], [resource]);
  return (
    <div ref={ref} class="details-grid">
      <section>
        <div class="rows">
          <Row resource={resource} />
        </div>
      </section>
      <Charts node={node} resources={resources} only={resource.name} />
      <div class="details-columns">
        <Changes resource={resource} />
        <About resource={resource} />
      </div>
    </div>
  );
}

function Changes({ resource }: { resource: Resource }) {
  const samples = useSignal<Sample[]>([]);
  const offered = useSignal(true);
  const problem = useSignal("");
  useEffect(() => {
    const cancel = new AbortController();
    const read = async () => {
      if (!(offered.value = await historyIsOffered())) return;
      const to = brokerTime();
      const found = await readSamples(resource, to - DAYS_30_S, to, READINGS, cancel.signal);
      // What came while it was read is later.
      const stored = found.samples.map(({ ts, value, data }) => ({ ts, text: textOf(data ?? value) }));
      samples.value = [...stored, ...samples.peek().filter(({ ts }) => ts > (stored.at(-1)?.ts ?? 0))];
    };
    read().catch((error: unknown) => {
      if (!cancel.signal.aborted) problem.value = problemText(error);
    });
    return () => cancel.abort();
  }, [resource]);
  const latest = useComputed(() => (void triggerOf(resource).value, resource.ts));
  useEffect(() => {
    if (past.peek() || !resource.ts) return;
    const text = resource.kind === "number" ? String(Number(resource.digits)) : resource.text;
    samples.value = [...samples.peek().filter(({ ts }) => ts < resource.ts), { ts: resource.ts, text }].slice(-2 * READINGS);
  }, [latest.value]);
  const changes = lastChanges(samples.value, CHANGES);
  const isNumber = resource.kind === "number";
  return (
    <section>
      <h3>{d("value.changes")}</h3>
      {!offered.value && <p class="hint">{d("value.changes_here")}</p>}
      {problem.value && (
        <p class="hint" role="alert">
          {d("activity.failed", { reason: visible(problem.value) })}
        </p>
      )}
      {!changes.length && <p class="soft">{d("chart.empty")}</p>}
      <ol class="log value-changes">
        {changes.map(({ ts, text }) => (
          <li key={ts}>
            <time>{timeOf(ts)}</time>
            <span>
              {changedTo(resource, text)} {isNumber && <span class="unit">{visible(resource.unit)}</span>}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** A value of the list, as a card shows it. */
function changedTo(resource: Resource, text: string): string {
  if (resource.kind === "number") return localDigits(shortDigits(text, resource.type.precision));
  const vectors = resource.vectors && readVectors(text);
  if (!vectors) return textValue({ ...resource, text: text.slice(0, TEXT_MAX) });
  return vectors.map(({ type, values }) => [vectorName(type), ...values.map((value) => localDigits(shortNumber(value)))].join("  ")).join(" · ");
}

function About({ resource }: { resource: Resource }) {
  void triggerOf(resource).value;
  const { type, kind, unit, name, text, ts } = resource;
  const limits = [type.minimum, type.maximum].map((limit) => (limit === undefined ? "…" : localDigits(String(limit))));
  const rows: [string, string][] = [
    [r("kind"), r(`kind.${type.kind ?? kind}`)],
    [r("unit"), unit],
    [d("value.allowed"), type.choices?.join(", ") ?? (limits.join("") === "……" ? "" : limits.join(" – "))],
    [r("writable"), type.writable === undefined ? "" : r(`writable.${type.writable}`)],
    [d("value.name"), name],
    [d("value.received"), ts ? timeOf(ts) : ""],
    [d("value.text"), text.slice(0, TEXT_MAX)],
  ];
  return (
    <section>
      <h3>{t("details.info")}</h3>
      <dl class="facts">
        {rows.map(
          ([label, value]) =>
            value && (
              <div key={label}>
                <dt>{label}</dt>
                <dd>{visible(value)}</dd>
              </div>
            ),
        )}
      </dl>
      <div class="buttons left">
        <CopyButton text={location.href} label={t("details.link")} />
      </div>
    </section>
  );
}
