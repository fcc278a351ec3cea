// SPDX-License-Identifier: BSD-3-Clause
/** The page: header, banner of the connection, screen, and overlays. */
import { useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { config, isKiosk } from "../config";
import { info } from "../info";
import { natural } from "../model/order";
import { quote, visible } from "../model/text";
import { openNode, openValue, screen } from "../route";
import { link, membership, missed, past, present, question, second, state, timelineOpen, toast } from "../store";
import { Banner } from "./Banner";
import { menu } from "./Card";
import { setting } from "./rows";
import { Header, Tabs } from "./Header";
import { lazy } from "./lazy";
import { Nodes } from "./Nodes";
import { listenToKeys, overlay } from "./keys";
import { showTips } from "./tip";
import { count, t } from "../i18n";

const Table = lazy(() => import("./Table").then((it) => it.Table));
const MapScreen = lazy(() => import("./map/MapScreen").then((it) => it.MapScreen));
const Updates = lazy(() => import("./Updates").then((it) => it.Updates));
const Settings = lazy(() => import("./Settings").then((it) => it.Settings));
const Audit = lazy(() => import("./Audit").then((it) => it.Audit));
const Details = lazy(() => import("./Details").then((it) => it.Details));
const ValueDetails = lazy<{ over: boolean }>(() => import("./Details").then((it) => it.ValueDetails));
const Activity = lazy(() => import("./Activity").then((it) => it.Activity));
const Alerts = lazy(() => import("./Alerts").then((it) => it.Alerts));
const Toast = lazy(() => import("./Toast").then((it) => it.Toast));
const QuestionDialog = lazy(() => import("./Question").then((it) => it.QuestionDialog));
const AddDevice = lazy(() => import("./AddDevice").then((it) => it.AddDevice));
const Topics = lazy(() => import("./Topics").then((it) => it.Topics));
const Account = lazy(() => import("./Account").then((it) => it.Account));
const SetValue = lazy(() => import("./SetValue").then((it) => it.SetValue));
const NodeMenu = lazy(() => import("./NodeMenu").then((it) => it.NodeMenu));
const Timeline = lazy(() => import("./Timeline").then((it) => it.Timeline));
const PathScreen = lazy(() => import("./path/PathScreen").then((it) => it.PathScreen));
const Kiosk = lazy(() => import("./Kiosk").then((it) => it.Kiosk));
const MainMenu = lazy(() => import("./MainMenu").then((it) => it.MainMenu));
const Help = lazy(() => import("./Help").then((it) => it.Help));

const SCREENS: Record<string, ComponentType> = {
  nodes: Nodes,
  fleet: Nodes,
  table: Table,
  map: MapScreen,
  updates: Updates,
  path: PathScreen,
  settings: Settings,
  audit: Audit,
};

export function App() {
  const tip = useRef<HTMLDivElement>(null);
  useEffect(listenToKeys, []);
  useEffect(() => (tip.current ? showTips(tip.current) : undefined), []);
  useSignalEffect(() => {
    document.documentElement.dataset.link = link.value.phase;
  });
  const Shown = SCREENS[screen.value];
  /** The node whose details are shown: a value that is opened there is above them. */
  const details = useRef("");
  if (!openValue.value) details.current = openNode.value;
  const isOver = details.current !== "" && details.current === openNode.value;
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        {t("skip")}
      </a>
      <Header />
      {timelineOpen.value && <Timeline />}
      <main id="main" tabIndex={-1}>
        {isKiosk && <Kiosk />}
        <Gateways />
        {info.value?.history_problem && (
          <p class="unrecorded" role="status">
            <strong>{t("history.unrecorded")}</strong> <bdi>{visible(info.value.history_problem)}</bdi>
          </p>
        )}
        <Shown key={past.value > 0} />
        <div id="tip" role="tooltip" popover="manual" ref={tip} />
      </main>
      <footer>
        <span>
          {config.title !== "Pyaiot" && `${config.title} · `}Pyaiot {visible(state.brokerVersion) || config.version}
        </span>
        {link.value.legacy && <span>{t("footer.legacy")}</span>}
      </footer>
      <Tabs place="bottom" />
      <Banner />
      {openNode.value && (!openValue.value || isOver) && <Details key={`${openNode.value}${past.value > 0}`} />}
      {openValue.value && <ValueDetails key={`${openNode.value} ${openValue.value} ${past.value > 0}`} over={isOver} />}
      {overlay.value === "activity" && <Activity />}
      {overlay.value === "alerts" && <Alerts />}
      {overlay.value === "help" && <Help />}
      {overlay.value === "menu" && <MainMenu />}
      {overlay.value === "device" && <AddDevice />}
      {overlay.value === "account" && <Account />}
      {overlay.value === "topics" && <Topics />}
      {setting.value && <SetValue />}
      {menu.value && <NodeMenu />}
      {question.value && <QuestionDialog />}
      {toast.value && <Toast />}
      <Announcer />
    </>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** Connected gateways, in one line. */
function Gateways() {
  void membership.value;
  const known = [...state.gateways.values()].sort((a, b) => natural(a.name, b.name));
  if (screen.value === "settings") return null;
  // Its space is reserved, so that nothing jumps when it appears.
  if (!known.length) return <div class="gateways" />;
  return (
    <ul class="gateways" aria-label={t("gateways")}>
      {known.map(({ name, protocol, state: how }) => {
        const shown = link.value.phase === "live" ? how : "unknown";
        return (
          <li key={name} class={shown}>
            {quote(name)}
            {protocol && protocol.toLowerCase() !== name ? ` · ${quote(protocol)}` : ""}
            {shown !== "connected" && ` · ${t(`gateway.${shown}`)}`}
          </li>
        );
      })}
    </ul>
  );
}

/** The state of the connection, for screen readers. */
function Announcer() {
  void second.value;
  const { phase } = link.value;
  const text =
    phase === "waiting" ? t("banner.lost") : missed.value ? t("banner.back", { n: missed.value }) : phase === "live" ? count("nodes", present.peek()) : "";
  return (
    <div class="visually-hidden" role="status">
      {text}
    </div>
  );
}
