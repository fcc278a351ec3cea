// SPDX-License-Identifier: BSD-3-Clause
/** Activity: nodes that appeared and left, commands, errors. */
import { nodeLink } from "../route";
import { quote, visible } from "../model/text";
import { activityCount, state, titleByUid } from "../store";
import { Drawer } from "./Drawer";
import { IgnoredTopics } from "./IgnoredTopics";
import { overlay } from "./keys";
import { fromBroker, reasonText, translate, t, timeOf } from "../i18n";

const MARKS = { joined: "＋", left: "○", reset: "↻", command: "→", gateway: "◆", link: "⇄", error: "⚠" } as const;

export function Activity() {
  void activityCount.value;
  return (
    <Drawer title={t("tab.activity")} kind="drawer" close={() => (overlay.value = "")}>
      <IgnoredTopics />
      {state.activity.length === 0 && <p class="wait">{t("activity.none")}</p>}
      <ol class="activity">
        {state.activity.map(({ kind, what, ts, uid, detail, why, good }, index) => (
          <li key={state.activityCount - index} data-good={good}>
            <span class="mark" aria-hidden="true">
              {MARKS[kind]}
            </span>
            <span class="what">
              {uid && (
                <a {...nodeLink(uid, "", () => (overlay.value = ""))}>
                  {titleByUid(uid)}
                </a>
              )}{" "}
              {visible(translate(what))}
              {detail && <span class="soft"> · {quote(kind === "left" ? reasonText(detail) : fromBroker(detail))}</span>}
              {why && <span class="soft"> · {quote(fromBroker(why))}</span>}
            </span>
            <time>{timeOf(ts)}</time>
          </li>
        ))}
      </ol>
    </Drawer>
  );
}
