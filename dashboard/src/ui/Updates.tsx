// SPDX-License-Identifier: BSD-3-Clause
/** Firmware updates: the step of each node, and its versions. */
import { firmware } from "../model/firmware";
import { fact, type Node } from "../model/state";
import { nodeTitle, quote, visible } from "../model/text";
import { allNodes, triggerOf } from "../store";
import { Stepper } from "./controls/Firmware";
import { NoteLine } from "./rows";
import { useRef } from "preact/hooks";
import { useVisibility } from "./visibility";
import { nodeLink } from "../route";
import { t } from "../i18n";
import "../more.css";

const before = new Map<string, string>();

export function Updates() {
  const nodes = allNodes().filter((node) => (void triggerOf(node).value, node.resources.has("suit_state")));
  return (
    <section class="sheet">
      <h2>{t("tab.updates")}</h2>
      {nodes.length ? (
        <>
          <p class="soft">{t("updates.intro")}</p>
          <ul class="updates">
            {nodes.map((node) => (
              <Update key={node.uid} node={node} />
            ))}
          </ul>
        </>
      ) : (
        <div class="empty">
          <h3>{t("updates.none")}</h3>
          <p>{t("updates.none_more")}</p>
        </div>
      )}
    </section>
  );
}

function Update({ node }: { node: Node }) {
  const ref = useRef<HTMLLIElement>(null);
  useVisibility(ref, node);
  void triggerOf(node).value;
  const resource = node.resources.get("suit_state");
  for (const name of ["suit_state", "dwnld", "version"]) {
    const its = node.resources.get(name);
    if (its) void triggerOf(its).value;
  }
  const it = firmware(node);
  if (!resource || !it) return null;
  // The version at the start of the update is shown until it changes.
  if (it.step < 0 || !before.has(node.uid)) if (it.step < 4) before.set(node.uid, it.version);
  const old = before.get(node.uid) ?? "";
  return (
    <li ref={ref} class="card">
      <div class="update-head">
        <h3>
          <a {...nodeLink(node.uid)}>
            {nodeTitle(node)}
          </a>
        </h3>
        <span class="soft">{[fact(node, "board"), fact(node, "os")].filter(Boolean).map(quote).join(" · ")}</span>
        <span class="versions">
          {t("updates.version")}{" "}
          {old && it.version !== old && (
            <>
              <code>{visible(old)}</code>
              {" → "}
            </>
          )}
          <code>{visible(it.version) || "?"}</code>
        </span>
      </div>
      <Stepper it={it} />
      <NoteLine resource={resource} />
    </li>
  );
}
