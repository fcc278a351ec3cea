// SPDX-License-Identifier: BSD-3-Clause
/** Tags as filters. */
import { useSignal } from "@preact/signals";
import { natural } from "../model/order";
import { hasTerm, toggleTerm } from "../model/query";
import { quote } from "../model/text";
import { navigate, query } from "../route";
import { membership, state } from "../store";
import { formatNumber, t } from "../i18n";

/** Tags that are shown at first: those of the most nodes. */
const SHOWN = 12;

/** Tags of nodes, with the number of nodes that have each. */
function countTags(): [tag: string, nodes: number][] {
  const counts = new Map<string, number>();
  for (const { tags } of state.registry.values()) for (const tag of tags) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return [...counts];
}

export function TagBar() {
  void membership.value;
  const all = useSignal(false);
  const tags = countTags();
  if (!tags.length) return null;
  const common = [...tags].sort((a, b) => b[1] - a[1] || natural(a[0], b[0]));
  const isOn = (tag: string) => hasTerm(query.value, "tag", tag);
  const shown = tags.filter((it) => all.value || common.indexOf(it) < SHOWN || isOn(it[0])).sort((a, b) => natural(a[0], b[0]));
  return (
    <div class="tags" role="group" aria-label={t("tags")}>
      {shown.map(([tag, n]) => (
        <button key={tag} type="button" class="tag" aria-pressed={isOn(tag)} onClick={() => navigate({ query: toggleTerm(query.peek(), "tag", tag) }, true)}>
          #{quote(tag)} <span class="count">{formatNumber(n)}</span>
        </button>
      ))}
      {shown.length < tags.length && (
        <button type="button" class="tag" onClick={() => (all.value = true)}>
          {t("tags.more", { n: formatNumber(tags.length - shown.length) })}
        </button>
      )}
    </div>
  );
}
