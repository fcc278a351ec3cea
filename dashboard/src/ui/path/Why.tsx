// SPDX-License-Identifier: BSD-3-Clause
/** "Why do I not see my board?": what was refused, ignored and waits, and a search in it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { findBoard, lastRefusals, type Branch, type Finding, type GatewayReport } from "../../model/topology";
import { fact, findNode, nodeState } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { navigate, nodeLink } from "../../route";
import { clock, newcomers, state } from "../../store";
import { ago, formatNumber, timeOf } from "../../i18n";
import { pt } from "../../i18n/path";

const SHOWN = 5;

export function Why({ branches, reports }: { branches: Branch[]; reports: GatewayReport[] | null }) {
  const words = useSignal("");
  const waiting = newcomers.value.length;
  const lost = branches.filter(({ gateway }) => gateway?.state === "lost");
  const wrong = (reports ?? []).filter(({ refused, messages_refused, ignored }) => refused || messages_refused || ignored);
  return (
    <section class="path-card" aria-labelledby="path-why">
      <h3 id="path-why">{pt("why")}</h3>
      <label class="field">
        <span>{pt("why.search")}</span>
        <input class="input" type="search" autocomplete="off" spellcheck={false} value={words.value} onInput={(event) => (words.value = event.currentTarget.value)} />
      </label>
      <div role="status">{words.value.trim() ? <Answer words={words.value} reports={reports ?? []} /> : <p class="hint">{pt("why.hint")}</p>}</div>
      <ul class="why">
        {lost.map(({ name }) => (
          <li key={name} data-kind="bad">
            {pt("list.lost", { gateway: quote(name) })}
          </li>
        ))}
        {waiting > 0 && (
          <li data-kind="warn">
            <a href="#/nodes" onClick={(event) => (event.preventDefault(), navigate({ screen: "nodes", node: "", query: "" }))}>
              {pt("list.waiting", { n: formatNumber(waiting) })}
            </a>
          </li>
        )}
        {wrong.map((report) => {
          const { name, refused, messages_refused, ignored, ignored_topics } = report;
          return (
          <li key={name} data-kind="warn">
            {messages_refused + refused > 0 && (
              <Last text={pt(messages_refused ? "list.refused" : "list.clients", { gateway: quote(name), n: formatNumber(messages_refused || refused) })} lines={lastRefusals(report)} />
            )}
            {ignored > 0 && <Last text={pt("list.ignored", { gateway: quote(name), n: formatNumber(ignored) })} lines={[...ignored_topics].reverse().map((topic) => ({ text: topic, ts: 0 }))} />}
          </li>
          );
        })}
        {!lost.length && !waiting && !wrong.length && <li data-kind="good">{pt(reports ? "list.good" : "list.hidden")}</li>}
      </ul>
    </section>
  );
}

function Last({ text, lines }: { text: string; lines: { text: string; ts: number }[] }) {
  return (
    <>
      <p>{text}</p>
      <ul class="why-lines">
        {lines.slice(0, SHOWN).map((line) => (
          <li key={line.text}>
            <code>{visible(line.text)}</code> <When ts={line.ts} />
          </li>
        ))}
      </ul>
    </>
  );
}

/** When it was; empty if that is unknown. */
function When({ ts }: { ts: number }) {
  if (!ts) return null;
  return (
    <time class="soft" dateTime={new Date(ts * 1000).toISOString()} title={timeOf(ts)}>
      {ago(Math.max(0, clock() + state.offset - ts))}
    </time>
  );
}

function Answer({ words, reports }: { words: string; reports: GatewayReport[] }) {
  const now = clock();
  const uids = new Set([...state.nodes.keys(), ...state.registry.keys()]);
  const nodes = [...uids].flatMap((uid) => {
    const node = findNode(state, uid);
    return node ? [{ node, how: nodeState(state, node, now), texts: [uid, nodeTitle(node), node.name, fact(node, "ip"), fact(node, "id")] }] : [];
  });
  const found = findBoard(words, nodes, reports);
  if (!found.length) return <p class="why-nothing">{pt("why.nothing", { words: quote(words.trim()) })}</p>;
  return (
    <ul class="why found">
      {found.map((finding, index) => (
        <Found key={index} finding={finding} />
      ))}
    </ul>
  );
}

function Found({ finding }: { finding: Finding }) {
  const line = (kind: string, children: ComponentChildren) => <li data-kind={kind}>{children}</li>;
  if (finding.kind === "refused" || finding.kind === "topic")
    return line(
      "bad",
      <>
        {pt(`why.${finding.kind}`, { gateway: quote(finding.gateway) })} <code>{visible(finding.text)}</code> {finding.kind === "refused" && <When ts={finding.ts} />}
      </>,
    );
  const { node, kind } = finding;
  return line(
    kind === "online" ? "good" : "warn",
    <>
      <a {...nodeLink(node.uid)}>
        {nodeTitle(node)}
      </a>{" "}
      {pt(`why.${kind}`)}
      {node.gateway && <span class="soft"> · {quote(node.gateway)}</span>}
    </>,
  );
}
