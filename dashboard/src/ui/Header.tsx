// SPDX-License-Identifier: BSD-3-Clause
/** Title, screens, search, filters, and the badge of the connection state. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { alerts, unread, worst } from "../alerts";
import { config } from "../config";
import { info, signsIn } from "../info";
import { navigate, query, screen, type Screen } from "../route";
import { settings } from "../settings";
import { isLive, link, past, pause, paused, present, rate, retry, second, timelineOpen, waiting } from "../store";
import { lazy } from "./lazy";
import { Icon } from "./icons";
import { filtersOpen, overlay, toggleTimeline } from "./keys";
import { count, formatNumber, t } from "../i18n";

const Filters = lazy(() => import("./Filters").then((it) => it.Filters));

const TABS: readonly Exclude<Screen, "settings" | "fleet" | "audit">[] = ["nodes", "table", "map", "updates", "path"];

export function Header() {
  return (
    <header>
      <a class="brand" href="#/nodes" onClick={(event) => (event.preventDefault(), navigate({ screen: "nodes", node: "" }))}>
        <img src={config.logo || "favicon.svg"} alt="" width={30} height={30} />
        <h1>{config.title}</h1>
      </a>
      <Tabs place="top" />
      <Search />
      <Pill />
      <div class="tools">
        {isLive.value && <Tool name={paused.value ? "play" : "pause"} label={t(paused.value ? "pill.resume" : "pill.pause")} on={paused.value} press={() => pause(!paused.peek())} />}
        {alerts.value && <Bell />}
        <Tool name="activity" label={t("tab.activity")} on={overlay.value === "activity"} press={() => (overlay.value = overlay.peek() === "activity" ? "" : "activity")} />
        {info.value?.history && <Tool name="timeline" label={t("tab.timeline")} on={timelineOpen.value} press={toggleTimeline} />}
        <Tool name="theme" label={t("theme.next", { theme: t(`settings.theme.${settings.theme.value}`) })} on={false} press={nextTheme} />
        <Tool name="settings" label={t("tab.settings")} on={screen.value === "settings"} press={() => navigate({ screen: "settings", node: "" })} />
        {signsIn.value && <Tool name="account" label={t("account.title")} on={overlay.value === "account"} press={() => (overlay.value = "account")} />}
        <Tool name="help" label={t("tab.help")} on={overlay.value === "help"} press={() => (overlay.value = "help")} />
        <Tool name="menu" label={t("tab.menu")} on={overlay.value === "menu"} press={() => (overlay.value = "menu")} />
      </div>
    </header>
  );
}

/** Alerts, with the number of those that nobody takes care of. */
function Bell() {
  const number = unread.value.length;
  const label = number ? `${t("tab.alerts")}: ${number}` : t("tab.alerts");
  return (
    <button type="button" class="tool bell" data-severity={worst.value} aria-label={label} title={label} aria-pressed={overlay.value === "alerts"} onClick={() => (overlay.value = overlay.peek() === "alerts" ? "" : "alerts")}>
      <Icon name="alerts" />
      {number > 0 && <span class="number">{number > 99 ? "99+" : number}</span>}
    </button>
  );
}

const THEMES = ["system", "light", "dark"] as const;

export function nextTheme(): void {
  const { theme } = settings;
  theme.value = THEMES[(THEMES.indexOf(theme.peek()) + 1) % THEMES.length];
}

function Tool({ name, label, on, press }: { name: "activity" | "timeline" | "theme" | "settings" | "help" | "account" | "menu" | "pause" | "play"; label: string; on: boolean; press: () => void }) {
  return (
    <button type="button" class={`tool tool-${name}`} aria-label={label} title={label} aria-pressed={name === "theme" || name === "play" || name === "pause" ? undefined : on} onClick={press}>
      <Icon name={name} />
    </button>
  );
}

export function Tabs({ place }: { place: "top" | "bottom" }) {
  return (
    <nav class={`tabs ${place}`} aria-label={t(place === "top" ? "tabs" : "tabs.phone")}>
      {TABS.map((name) => (
        <a
          key={name}
          href={`#/${name}`}
          aria-current={screen.value === name || (name === "nodes" && screen.value === "fleet") ? "page" : undefined}
          onClick={(event) => (event.preventDefault(), navigate({ screen: name, node: "" }))}
        >
          <Icon name={name} />
          <span>{t(`tab.${name}`)}</span>
        </a>
      ))}
    </nav>
  );
}

/** On a phone it is an icon until it is used. */
function Search() {
  const isUsed = useSignal(false);
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const elsewhere = (event: Event) => (isUsed.value = !!ref.current?.contains(event.target as Element));
    addEventListener("pointerdown", elsewhere);
    addEventListener("focusin", elsewhere);
    return () => {
      removeEventListener("pointerdown", elsewhere);
      removeEventListener("focusin", elsewhere);
    };
  }, []);
  return (
    <div ref={ref} class="search" role="search" data-open={isUsed.value || filtersOpen.value || query.value !== ""}>
      <Icon name="search" />
      <input
        id="search"
        type="search"
        autocomplete="off"
        spellcheck={false}
        value={query.value}
        placeholder={t("search.hint")}
        aria-label={t("search")}
        onInput={(event) => navigate({ query: event.currentTarget.value }, true)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          if (query.peek()) navigate({ query: "" }, true);
          else event.currentTarget.blur();
          event.preventDefault();
        }}
      />
      <kbd aria-hidden="true">/</kbd>
      <button type="button" class="filter-button" aria-expanded={filtersOpen.value} aria-label={t("filters")} title={t("filters")} onClick={() => (filtersOpen.value = !filtersOpen.peek())}>
        <Icon name="filter" />
      </button>
      {filtersOpen.value && <Filters />}
    </div>
  );
}

/** A small phone has no room for it. */
const REST = / · .*/;

/** `Live · 24 nodes · 480 msg/s`, or the problem; then a press tries again. */
function Pill() {
  const text = useComputed(() => {
    const { phase, retryAt } = link.value;
    void second.value;
    switch (phase) {
      case "connecting":
        return t("pill.connecting");
      case "joining":
        return t("pill.joining");
      case "waiting":
        return t("pill.waiting", { n: Math.max(0, Math.ceil((retryAt - performance.now()) / 1000)) });
      case "live":
        return past.value ? t("pill.past") : paused.value ? t("pill.paused", { messages: count("messages", waiting.value) }) : `${t("pill.live")} · ${count("nodes", present.value)}`;
    }
  });
  const speed = useComputed(() => (isLive.value && !paused.value ? `· ${t("pill.rate", { n: formatNumber(rate.value) })}` : ""));
  const how = useComputed(() => (past.value || (paused.value && isLive.value) ? "paused" : link.value.phase));
  const content = (
    <>
      <i aria-hidden="true" />
      <span>
        {useComputed(() => text.value.replace(REST, ""))}
        <span class="rest">{useComputed(() => REST.exec(text.value)?.[0] ?? "")}</span>
        <span class="speed">{speed}</span>
      </span>
    </>
  );
  return link.value.phase === "waiting" ? (
    <button type="button" id="pill" data-how={how} title={t("banner.try")} onClick={retry}>
      {content}
      <span class="visually-hidden">{t("banner.try")}</span>
    </button>
  ) : (
    <span id="pill" data-how={how}>
      {content}
    </span>
  );
}
