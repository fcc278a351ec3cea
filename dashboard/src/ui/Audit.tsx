// SPDX-License-Identifier: BSD-3-Clause
/** The audit log, for administrators: who did what to which node, when, from where, with what result. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { auditFilter, EVERYTHING, OUTCOMES, outcomeOf, readAudit, type AuditEntry, type AuditFilter, type Outcome } from "../auditApi";
import { info } from "../info";
import { quote } from "../model/text";
import { ApiProblem } from "../registryApi";
import { problemText } from "./problemText";
import { nodeLink } from "../route";
import { titleByUid } from "../store";
import { ACTIONS, actionText, au, detailText, kindText, resultText } from "../i18n/audit";
import { formatNumber, timeOf } from "../i18n";
import "../more.css";
import "../audit.css";

const DAYS = [0, 1, 7, 30] as const;
const UIDS_SHOWN = 5;
/** Pages without an entry that are read in a row: the broker searches a part of the log for each. */
const EMPTY_PAGES_MAX = 20;
const TYPING_MS = 300;

export function Audit() {
  if (!info.value) return null;
  if (info.value.role !== "admin") return <p class="wait">{au("admins")}</p>;
  return (
    <section class="sheet audit">
      <h2>{au("title")}</h2>
      <Filters />
      <Entries key={JSON.stringify(auditFilter.value)} filter={auditFilter.value} />
    </section>
  );
}

const change = (part: Partial<AuditFilter>) => (auditFilter.value = { ...auditFilter.peek(), ...part });

function Filters() {
  const filter = auditFilter.value;
  return (
    <form class="audit-filters" onSubmit={(event) => event.preventDefault()} role="search" aria-label={au("title")}>
      <Typed label={au("who")} value={filter.who} set={(who) => change({ who })} hint="ada" />
      <Typed label={au("uid")} value={filter.uid} set={(uid) => change({ uid })} hint="uid" />
      <label class="field">
        <span>{au("action")}</span>
        <select value={filter.action} onChange={(event) => change({ action: event.currentTarget.value })}>
          <option value="">{au("all")}</option>
          {ACTIONS.map((action) => (
            <option key={action} value={action}>
              {actionText(action)}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>{au("result")}</span>
        <select value={filter.outcome} onChange={(event) => change({ outcome: event.currentTarget.value as Outcome | "" })}>
          <option value="">{au("all")}</option>
          {OUTCOMES.map((outcome) => (
            <option key={outcome} value={outcome}>
              {au(`outcome.${outcome}`)}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>{au("period")}</span>
        <select value={String(filter.days)} onChange={(event) => change({ days: Number(event.currentTarget.value) })}>
          {DAYS.map((days) => (
            <option key={days} value={String(days)}>
              {au(`days.${days}`)}
            </option>
          ))}
        </select>
      </label>
      {JSON.stringify(filter) !== JSON.stringify(EVERYTHING) && (
        <button type="button" class="button" onClick={() => (auditFilter.value = EVERYTHING)}>
          {au("clear")}
        </button>
      )}
    </form>
  );
}

/** A field whose text is used when typing pauses. */
function Typed({ label, value, set, hint }: { label: string; value: string; set: (value: string) => void; hint: string }) {
  const typed = useSignal(value);
  const timer = useRef(0);
  useEffect(() => {
    typed.value = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <label class="field">
      <span>{label}</span>
      <input
        class="input"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        maxLength={64}
        placeholder={hint}
        value={typed.value}
        onInput={(event) => {
          const text = (typed.value = event.currentTarget.value);
          clearTimeout(timer.current);
          timer.current = window.setTimeout(() => set(text.trim()), TYPING_MS);
        }}
      />
    </label>
  );
}

function Entries({ filter }: { filter: AuditFilter }) {
  const entries = useSignal<AuditEntry[]>([]);
  const next = useSignal<string | null>("");
  const busy = useSignal(false);
  const problem = useSignal("");
  const end = useRef<HTMLDivElement>(null);
  const unmounted = useRef(false);
  const more = async () => {
    if (busy.peek() || next.peek() === null) return;
    busy.value = true;
    problem.value = "";
    try {
      for (let pages = 0, found = 0; !found && next.peek() !== null && pages < EMPTY_PAGES_MAX; pages += 1) {
        const page = await readAudit(filter, next.peek() ?? "");
        if (unmounted.current) return;
        found = page.entries.length;
        entries.value = [...entries.peek(), ...page.entries];
        next.value = page.next;
      }
    } catch (error) {
      problem.value = reasonOf(error);
    }
    busy.value = false;
  };
  useEffect(() => {
    void more();
    return () => {
      unmounted.current = true;
    };
  }, []);
  // What is left is read when its place comes near.
  const waits = next.value !== null && !busy.value && !problem.value && entries.value.length > 0;
  useEffect(() => {
    if (!waits || !end.current) return;
    const observer = new IntersectionObserver(([{ isIntersecting }]) => void (isIntersecting && more()), { rootMargin: "600px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [waits, entries.value.length]);
  return (
    <>
      {problem.value && (
        <p class="bad" role="alert">
          {problem.value}
        </p>
      )}
      <p class="visually-hidden" role="status">
        {busy.value ? au("reading") : au("entries", { n: formatNumber(entries.value.length) })}
      </p>
      {!busy.value && !problem.value && entries.value.length === 0 && <p class="wait">{au("none")}</p>}
      <ol class="audit-list" aria-busy={busy.value}>
        {entries.value.map((entry, index) => (
          <Line key={index} entry={entry} />
        ))}
      </ol>
      <div ref={end} class="audit-end">
        {next.value !== null && !busy.value && (
          <button type="button" class="button small" onClick={() => void more()}>
            {au("more")}
          </button>
        )}
        {busy.value && <span class="soft">{au("reading")}</span>}
      </div>
    </>
  );
}

function Line({ entry }: { entry: AuditEntry }) {
  const { ts, action, who, from = "", result, uids = [], resource = "", detail = "", suppressed = 0 } = entry;
  const [kind, ...rest] = who.split(":");
  const name = rest.join(":");
  const source = from === "command line" ? au("command_line") : quote(from);
  return (
    <li data-outcome={outcomeOf(result)}>
      <time>{timeOf(ts)}</time>
      <span class="by">
        <button type="button" class="link" title={au("only")} aria-label={`${name ? quote(name) : kindText(kind)}: ${au("only")}`} onClick={() => change({ who })}>
          {name ? quote(name) : kindText(kind)}
        </button>
        <small>{[name && kindText(kind), source].filter(Boolean).join(" · ")}</small>
      </span>
      <span class="what">
        <b>{actionText(action)}</b>
        {resource && <code>{quote(resource)}</code>}
        {uids.slice(0, UIDS_SHOWN).map((uid) => (
          <a
            key={uid}
            {...nodeLink(uid)}
          >
            {titleByUid(uid)}
          </a>
        ))}
        {uids.length > UIDS_SHOWN && <span>{au("and_more", { n: formatNumber(uids.length - UIDS_SHOWN) })}</span>}
        {detail && <small>{quote(detailText(action, detail))}</small>}
        {suppressed > 0 && <small>{au("suppressed", { n: formatNumber(suppressed) })}</small>}
      </span>
      <span class="outcome">{resultText(result)}</span>
    </li>
  );
}

function reasonOf(error: unknown): string {
  if (error instanceof ApiProblem && error.kind === "no-audit") return au("off");
  return problemText(error);
}
