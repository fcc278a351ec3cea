// SPDX-License-Identifier: BSD-3-Clause
/** What happened to a node and who commanded it, from the stored history. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { historyIsOffered, readCommands, readEvents, type Happened, type StoredCommand, type StoredEvent } from "../../history";
import { problemText } from "../problemText";
import { merged, shorter } from "../../model/happened";
import type { Node } from "../../model/state";
import { quote, visible } from "../../model/text";
import { clockOf, past, triggerOf } from "../../store";
import { formatNumber, fromBroker, reasonText, t, timeOf, translate } from "../../i18n";
import { d } from "../../i18n/details";
import { titleOf } from "../rows";
import { brokerTime } from "./context";

const PAGE = "25";
/** Others may have commanded the node: the list is read again after this time. */
const READ_AGAIN_MS = 10_000;
/** What this page did is in the history a moment later. */
const STORED_MS = 400;
const PAYLOAD_MAX = 60;

/** Who issued a command, for people; empty: unknown, or not for this client. */
export function whoText(who: string | null): string {
  const [kind, name = ""] = (who ?? "").split(/:(.*)/s);
  switch (kind) {
    case "user":
      return visible(name);
    case "token":
      return d("who.token", { name: visible(name) });
    case "local":
    case "anonymous":
    case "invitation":
    case "homeassistant":
      return d(`who.${kind}`);
    default:
      return visible(kind);
  }
}

interface Lists {
  events: Happened<StoredEvent>;
  commands: Happened<StoredCommand>;
}

const isCommand = (row: StoredEvent | StoredCommand): row is StoredCommand => "resource" in row;

export function NodeActivity({ node }: { node: Node }) {
  void triggerOf(node).value;
  const lists = useSignal<Lists | null>(null);
  const offered = useSignal(true);
  const problem = useSignal("");
  const pages = useRef(1);
  const { uid } = node;
  const read = async (signal?: AbortSignal) => {
    if (!(offered.value = await historyIsOffered())) return;
    const search: Record<string, string> = { uid, limit: PAGE, ...(past.peek() && { to: brokerTime().toFixed(3) }) };
    try {
      const [events, commands] = await Promise.all([readEvents(search, [], signal), readCommands(search, signal)]);
      if (signal?.aborted) return;
      problem.value = "";
      lists.value = { events, commands };
    } catch (error) {
      if (!signal?.aborted) problem.value = problemText(error);
    }
  };
  const more = async () => {
    const known = lists.peek();
    const part = known && shorter(known.events, known.commands);
    if (!known || !part) return;
    pages.current += 1;
    const search = { uid, limit: PAGE, ...(past.peek() && { to: brokerTime().toFixed(3) }) };
    try {
      if (part === "a") {
        const next = await readEvents({ ...search, cursor: known.events.next ?? "" });
        lists.value = { ...known, events: { rows: [...known.events.rows, ...next.rows], next: next.next } };
      } else {
        const next = await readCommands({ ...search, cursor: known.commands.next ?? "" });
        lists.value = { ...known, commands: { rows: [...known.commands.rows, ...next.rows], next: next.next } };
      }
    } catch (error) {
      problem.value = problemText(error);
    }
  };
  const { log } = node;
  const ended = `${log[0]?.id ?? ""} ${log[0]?.state ?? ""} ${node.left?.reason ?? "online"} ${past.value}`;
  useEffect(() => {
    const cancel = new AbortController();
    pages.current = 1;
    const soon = setTimeout(() => void read(cancel.signal), lists.peek() ? STORED_MS : 0);
    // A longer list is being read by a person: it must not jump.
    const timer = setInterval(() => void (document.hidden || pages.current > 1 || past.peek() || read(cancel.signal)), READ_AGAIN_MS);
    return () => {
      cancel.abort();
      clearTimeout(soon);
      clearInterval(timer);
    };
  }, [ended]);
  const known = lists.value;
  const rows = known ? merged(known.events, known.commands) : [];
  const hasMore = known !== null && shorter(known.events, known.commands) !== null;

  const pending = past.value ? [] : log.filter((command) => !offered.value || command.state === "pending");
  void clockOf(node).value;
  return (
    <section class="node-activity">
      <h3>{d("activity")}</h3>
      {!offered.value && <p class="hint">{d("activity.page")}</p>}
      {problem.value && (
        <p class="hint" role="alert">
          {d("activity.failed", { reason: visible(problem.value) })}
        </p>
      )}
      {(known || !offered.value) && !rows.length && !pending.length && <p class="soft">{d("activity.none")}</p>}
      <ol class="log">
        {pending.map(({ id, ts, name, payload, state: how, elapsed_ms, detail }) => (
          <Command key={id} row={{ ts, uid, resource: name, who: "", payload, state: how === "pending" || how === "lost" ? null : how, detail, elapsed_ms }} waiting={how === "pending"} />
        ))}
        {rows.map((row, index) => (isCommand(row) ? <Command key={`c${row.ts}${index}`} row={row} waiting={false} /> : <Event key={`e${row.ts}${index}`} row={row} />))}
      </ol>
      {hasMore && (
        <button type="button" class="button small" onClick={() => void more()}>
          {d("activity.more")}
        </button>
      )}
    </section>
  );
}

function Command({ row, waiting }: { row: StoredCommand; waiting: boolean }) {
  const { ts, resource, who, payload, state: how, detail, elapsed_ms } = row;
  const by = whoText(who);
  return (
    <li data-state={waiting ? "pending" : (how ?? "unknown")}>
      <time>{timeOf(ts)}</time>
      <span>
        {titleOf(resource)} = {payload === null ? <span class="soft">{d("payload_hidden")}</span> : <code>{visible(payload.trim().slice(0, PAYLOAD_MAX))}</code>}
        {by && <span class="soft"> · {d("by", { who: by })}</span>}
      </span>
      <span class="outcome">
        {waiting ? t("outcome.pending") : how === null ? d("no_receipt") : quote(translate(`outcome.${how}`))}
        {how === "confirmed" && elapsed_ms !== null && ` · ${formatNumber(Math.max(1, Math.round(elapsed_ms)))} ms`}
        {detail && ` · ${quote(fromBroker(detail))}`}
      </span>
    </li>
  );
}

function Event({ row: { ts, kind, gateway, detail } }: { row: StoredEvent }) {
  const text = kind === "appeared" || kind === "left" || kind === "reset" || kind === "gap" ? d(`event.${kind}`) : visible(kind);
  const reason = kind === "left" ? reasonText(detail) : gateway;
  const more = reason === text ? "" : reason;
  return (
    <li data-kind={kind}>
      <time>{timeOf(ts)}</time>
      <span>
        <i class="mark" aria-hidden="true" /> {text}
        {more && <span class="soft"> · {quote(more)}</span>}
      </span>
    </li>
  );
}
