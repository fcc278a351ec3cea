// SPDX-License-Identifier: BSD-3-Clause
/** Nodes that are offline or banned, one line each: who, where, the last values, since when. */
import { useComputed, useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect, useRef } from "preact/hooks";
import { mayEdit } from "../info";
import { shortDigits } from "../model/figures";
import { findNode, newNode, type Registered, type Resource } from "../model/state";
import { nodeTitle, quote, visible } from "../model/text";
import { nodeLink } from "../route";
import { settings } from "../settings";
import { clock, offline, offlineCount, parsedQuery, second, state } from "../store";
import { allResources } from "./Card";
import { confirmForget, forget } from "./edits";
import { textValue, titleOf } from "./rows";
import { duration, formatNumber, localDigits, momentOf, reasonText, t, timeOf } from "../i18n";
import "../registry.css";

/** Rows that are drawn at first, and each time that the end of the list comes near. */
const ROWS = 60;
const VALUES_MAX = 4;

export function Offline() {
  const all = offlineCount.value;
  const rows = offline.value;
  const isFiltered = parsedQuery.value.terms.length > 0;
  if (!all || (isFiltered && !rows.length)) return null;
  const open = settings.offlineOpen.value || isFiltered;
  const forgettable = rows.filter((row) => row.state === "offline");
  return (
    <section class="offline" aria-labelledby="offline">
      <div class="section-head">
        <h2 id="offline">
          <button type="button" aria-expanded={open} aria-controls="offline-nodes" onClick={() => (settings.offlineOpen.value = !open)}>
            {t("offline.title")} <span class="count">{rows.length === all ? formatNumber(all) : t("offline.matching", { n: formatNumber(rows.length), all: formatNumber(all) })}</span>
          </button>
        </h2>
        {open && mayEdit.value && forgettable.length > 1 && (
          <button type="button" class="button small" onClick={() => confirmForget(forgettable)}>
            {t("forget.all")}
          </button>
        )}
      </div>
      <div id="offline-nodes">{open && <Rows rows={rows} />}</div>
    </section>
  );
}

function Rows({ rows }: { rows: Registered[] }) {
  const most = useSignal(ROWS);
  const end = useRef<HTMLButtonElement>(null);
  const more = () => (most.value += 2 * ROWS);
  const isCut = rows.length > most.value;
  useEffect(() => {
    if (!end.current) return;
    const observer = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && more(), { rootMargin: "900px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [isCut, most.value]);
  return (
    <>
      <ul class="offline-list">
        {rows.slice(0, most.value).map((row) => (
          <Line key={row.uid} registered={row} />
        ))}
      </ul>
      {isCut && (
        <button ref={end} type="button" class="button small" onClick={more}>
          {t("offline.more")}
        </button>
      )}
    </>
  );
}

const minute = (): number => Math.floor(second.value / 30);

const Line = memo(function Line({ registered }: { registered: Registered }) {
  const { uid, room, tags, lastSeen, firstSeen } = registered;
  const node = findNode(state, uid) ?? newNode(uid, "", 0, state);
  const title = nodeTitle(node);
  const since = useComputed(() => (void minute(), registered.state === "banned" ? t("state.banned") : sinceText(registered)));
  const values = allResources(node).slice(0, VALUES_MAX);
  const newest = Math.max(0, ...values.map(({ ts }) => ts));
  const full = values.map((resource) => `${titleOf(resource.name)}: ${valueText(resource)}${resource.ts ? ` · ${timeOf(resource.ts)}` : ""}`);
  return (
    <li class="offline-row" data-uid={uid} data-state={registered.state}>
      <a
        class="who"
        data-tip={`${title}\n${visible(uid)}`}
        {...nodeLink(uid)}
      >
        {title}
      </a>
      <span class="where" data-tip="">
        {[room && quote(room), ...tags.map((tag) => `#${quote(tag)}`)].filter(Boolean).join(" · ")}
      </span>
      <span class="last" data-tip={full.join("\n")}>
        {values.map(shortValue).filter(Boolean).join(" · ")}
        {newest > 0 && <time> {momentOf(newest)}</time>}
      </span>
      <span class="since" data-tip={[lastSeen && timeOf(lastSeen), reasonText(registered.reason)].filter(Boolean).join(" · ")}>
        {since}
      </span>
      {mayEdit.value && firstSeen >= 0 && registered.state === "offline" ? (
        <button type="button" class="button small" aria-label={t("forget.of", { name: quote(title) })} onClick={() => void forget([registered])}>
          {t("forget")}
        </button>
      ) : (
        <span />
      )}
    </li>
  );
});

/** "offline for 3 days". */
export const sinceText = ({ lastSeen }: Registered): string =>
  lastSeen ? t("offline.for", { age: duration(Math.max(0, clock() + state.offset - lastSeen)) }) : t("offline.never");

const valueText = (resource: Resource): string =>
  resource.kind === "number" ? `${localDigits(shortDigits(resource.digits, resource.type.precision))}${resource.unit && ` ${visible(resource.unit)}`}` : textValue(resource);

/** A text has the name of its resource, because it is unclear without it. */
function shortValue(resource: Resource): string {
  const text = valueText(resource);
  if (resource.kind === "number" && resource.unit) return text;
  return text.length > 24 ? "" : `${titleOf(resource.name)} ${text}`;
}
