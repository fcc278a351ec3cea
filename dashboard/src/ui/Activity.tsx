// SPDX-License-Identifier: BSD-3-Clause
/** What happened: nodes that came and went, commands, errors. */
import { go } from "../route";
import { happenings, state } from "../store";
import { Drawer } from "./Drawer";
import { IgnoredTopics } from "./IgnoredTopics";
import { overlay } from "./keys";
import { said, t, timeOf } from "./words";

const MARKS = { joined: "＋", left: "○", reset: "↻", command: "→", gateway: "◆", link: "⇄", error: "⚠" } as const;

export function Activity() {
  void happenings.value;
  return (
    <Drawer title={t("tab.activity")} kind="drawer" close={() => (overlay.value = "")}>
      <IgnoredTopics />
      {state.activity.length === 0 && <p class="wait">{t("activity.none")}</p>}
      <ol class="activity">
        {state.activity.map(({ kind, what, ts, uid, detail, good }, index) => (
          <li key={state.happenings - index} data-good={good}>
            <span class="mark" aria-hidden="true">
              {MARKS[kind]}
            </span>
            <span class="what">
              {uid && (
                <a
                  href={`#/node/${encodeURIComponent(uid)}`}
                  onClick={(event) => {
                    event.preventDefault();
                    overlay.value = "";
                    go({ node: uid });
                  }}
                >
                  {state.nodes.get(uid)?.name || uid}
                </a>
              )}{" "}
              {said(what)}
              {detail && <span class="soft"> · {kind === "left" ? said(`reason.${detail}`) : detail}</span>}
            </span>
            <time>{timeOf(ts)}</time>
          </li>
        ))}
      </ol>
    </Drawer>
  );
}
