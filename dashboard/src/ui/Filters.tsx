// SPDX-License-Identifier: BSD-3-Clause
/** Filters: search terms that are selected instead of typed; below them, hidden resources and nodes. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { termOf, withTerm } from "../model/query";
import { natural } from "../model/order";
import { quote, visible } from "../model/text";
import { FACTS } from "../model/readings";
import { fact } from "../model/state";
import { navigate, query } from "../route";
import { settings } from "../settings";
import { membership, state, titleByUid, unhide } from "../store";
import { filtersOpen } from "./keys";
import { titleOf } from "./rows";
import { translate, t } from "../i18n";

const STATES = ["live", "quiet", "stale", "discovering", "silent", "left", "lost", "banned"];

const close = () => (filtersOpen.value = false);

export function Filters() {
  void membership.value;
  const ref = useRef<HTMLDivElement>(null);
  // Before the next key: Escape closes only what has the focus.
  useLayoutEffect(() => {
    ref.current?.querySelector("select")?.focus();
    const outside = (event: Event) => {
      const target = event.target as Element;
      if (!ref.current?.contains(target) && !target.closest(".filter-button")) close();
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, []);
  const nodes = [...state.nodes.values()];
  const distinct = (values: string[]) => [...new Set(values)].filter(Boolean).sort(natural);
  const resources = distinct(nodes.flatMap(({ resources: its }) => [...its.keys()].filter((name) => !FACTS.has(name) && name !== "dwnld"))); // a part of `suit_state`
  const registered = [...state.registry.values()];
  const tags = distinct(registered.flatMap((it) => it.tags));
  const rooms = distinct(registered.map(({ room }) => room));
  return (
    <div
      ref={ref}
      class="popover"
      role="group"
      aria-label={t("filters")}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        close();
        document.querySelector<HTMLElement>(".filter-button")?.focus();
        event.preventDefault();
      }}
    >
      <div class="filter-grid">
        <Choice name="state" label={t("filter.state")} values={STATES} word={(value) => translate(`filter.state.${value}`)} />
        <Choice name="protocol" label={t("filter.protocol")} values={distinct(nodes.map((node) => fact(node, "protocol").toLowerCase()))} />
        <Choice name="gateway" label={t("filter.gateway")} values={distinct([...nodes, ...registered].map(({ gateway }) => gateway))} />
        {tags.length > 0 && <Choice name="tag" label={t("filter.tag")} values={tags} />}
        {rooms.length > 0 && <Choice name="room" label={t("filter.room")} values={rooms} />}
        <Choice name="has" label={t("filter.has")} values={resources} word={titleOf} />
      </div>
      <Hidden resources={resources} />
      <p class="hint">{t("filter.hint")}</p>
    </div>
  );
}

function Choice({ name, label, values, word = visible }: { name: string; label: string; values: string[]; word?: (value: string) => string }) {
  const chosen = termOf(query.value, name);
  return (
    <label>
      <span>{label}</span>
      <select value={chosen} onChange={(event) => navigate({ query: withTerm(query.peek(), name, event.currentTarget.value) }, true)}>
        <option value="">{t("filter.any")}</option>
        {values.map((value) => (
          <option key={value} value={value} selected={value === chosen}>
            {word(value)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Resources to show, and hidden nodes. */
function Hidden({ resources }: { resources: string[] }) {
  const { hiddenNodes, hiddenResources } = settings;
  const toggle = (name: string, show: boolean) => {
    const others = hiddenResources.peek().filter((its) => its !== name);
    hiddenResources.value = show ? others : [...others, name];
  };
  return (
    <>
      {resources.length > 0 && (
        <fieldset>
          <legend>{t("filter.shown")}</legend>
          {resources.slice(0, 60).map((name) => (
            <label key={name} class="check">
              <input type="checkbox" checked={!hiddenResources.value.includes(name)} onChange={(event) => toggle(name, event.currentTarget.checked)} />
              {titleOf(name)}
            </label>
          ))}
        </fieldset>
      )}
      {hiddenNodes.value.length > 0 && (
        <fieldset>
          <legend>{t("filter.hidden")}</legend>
          {hiddenNodes.value.map((uid) => (
            <button
              key={uid}
              type="button"
              class="button small" data-tip=""
              onClick={() => unhide(uid)}
            >
              {t("filter.show", { name: quote(titleByUid(uid)) })}
            </button>
          ))}
        </fieldset>
      )}
    </>
  );
}
