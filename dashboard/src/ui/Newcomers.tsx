// SPDX-License-Identifier: BSD-3-Clause
/** New nodes that wait for approval. */
import { useSignal } from "@preact/signals";
import { mayEdit } from "../info";
import { findNode, newNode, type Registered } from "../model/state";
import { nodeTitle, plainTitle, quote, visible } from "../model/text";
import { nodeLink } from "../route";
import { newcomers, state } from "../store";
import { accept, confirmRefuse, ban } from "./edits";
import { count, momentOf, t } from "../i18n";
import "../registry.css";

/** Newcomers that are listed at first. */
const SHOWN = 5;

export function Newcomers() {
  const all = useSignal(false);
  const list = newcomers.value;
  if (!list.length) return null;
  const shown = all.value ? list : list.slice(0, SHOWN);
  return (
    <section class="newcomers" aria-labelledby="newcomers">
      <div class="section-head">
        <h2 id="newcomers">
          <span role="status">{count("newcomers", list.length)}</span>
        </h2>
        {mayEdit.value && list.length > 1 && (
          <div class="buttons">
            <button type="button" class="button small primary" onClick={() => void accept(list)}>
              {t("accept.all")}
            </button>
            <button type="button" class="button small" onClick={() => confirmRefuse(list)}>
              {t("refuse.all")}
            </button>
          </div>
        )}
      </div>
      <ul>
        {shown.map((it) => (
          <Newcomer key={it.uid} registered={it} />
        ))}
      </ul>
      {list.length > shown.length && (
        <button type="button" class="button small" onClick={() => (all.value = true)}>
          {t("tags.more", { n: list.length - shown.length })}
        </button>
      )}
      {mayEdit.value && <p class="hint">{t("newcomers.text")}</p>}
    </section>
  );
}

function Newcomer({ registered }: { registered: Registered }) {
  const { uid, gateway, firstSeen } = registered;
  const node = findNode(state, uid) ?? newNode(uid, "", 0, state);
  const name = quote(nodeTitle(node));
  return (
    <li data-uid={uid}>
      <a
        class="who"
        {...nodeLink(uid)}
      >
        {nodeTitle(node)}
      </a>
      <span class="where" data-tip="">
        {plainTitle(node) !== uid && <span class="uid">{visible(uid)} · </span>}
        {quote(gateway)}
        {firstSeen > 0 && ` · ${momentOf(firstSeen)}`}
      </span>
      {mayEdit.value && (
        <span class="buttons">
          <button type="button" class="button small" aria-label={t("accept.of", { name })} onClick={() => void accept([registered])}>
            {t("accept")}
          </button>
          <button type="button" class="button small" aria-label={t("refuse.of", { name })} onClick={() => void ban([registered])}>
            {t("refuse")}
          </button>
        </span>
      )}
    </li>
  );
}
