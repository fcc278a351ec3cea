// SPDX-License-Identifier: BSD-3-Clause
/** The cards, or the reason why there are none. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { brokerUrl, isKept } from "../config";
import type { Node } from "../model/state";
import { layout } from "../layout";
import { navigate, query, screen } from "../route";
import { settings } from "../settings";
import { joined, link, membership, newcomers, offline, offlineCount, parsedQuery, present, shown, state } from "../store";
import { Countdown, StartCommand, useReason } from "./Banner";
import { Card } from "./Card";
import { quote } from "../model/text";
import { Copy } from "./Copy";
import { CameraCard } from "./CameraCard";
import { mayAddDevices } from "../info";
import { overlay } from "./keys";
import { IgnoredTopics } from "./IgnoredTopics";
import { lazy } from "./lazy";
import { GroupHead, isClosed, sections, sectionTitle } from "./groups";
import { useFirstFit, useMasonry } from "./masonry";
import { usePortions } from "./portions";
import { count, t } from "../i18n";

const MapCard = lazy(() => import("./map/MapScreen").then((it) => it.MapCard));

const Offline = lazy(() => import("./Offline").then((it) => it.Offline));
const loadBar = () => import("./HomeBar").then((it) => it.HomeBar);
const HomeBar = lazy(loadBar, matchMedia("(max-width: 600px)").matches ? 156 : 36);
const Fleet = lazy<{ nodes: Node[] }>(() => import("./Fleet").then((it) => it.Fleet));
// It is needed as soon as there are nodes.
void loadBar().catch(() => undefined);
const Newcomers = lazy(() => import("./Newcomers").then((it) => it.Newcomers));

/** What the registry adds below the cards or the table. */
export const OfflineNodes = () => (offlineCount.value ? <Offline /> : null);
/** And above them. */
export const Above = () => (
  <>
    {newcomers.value.length > 0 && <Newcomers />}
    <HomeBar />
  </>
);

export function Nodes() {
  if (!joined.value) return link.value.phase === "waiting" || link.value.reason ? <Unreached /> : <Skeletons />;
  return <Joined />;
}

function Joined() {
  const all = shown.value;
  const list = usePortions(all, screen.value === "fleet");
  const isFleet = screen.value === "fleet";
  const extra = !isFleet && (settings.camera.value || settings.map.value);
  return (
    <>
      <h2 class="visually-hidden">{t("tab.nodes")}</h2>
      <Above />
      {isFleet ? (
        list.length > 0 && <Fleet nodes={list} />
      ) : layout.value.group ? (
        <div id="nodes">
          {extra && <Grid nodes={[]} />}
          {sections(list, layout.value).map((section) => (
            <section key={section.key} aria-label={sectionTitle(section)}>
              <GroupHead section={section} />
              {!isClosed(section.key) && <Grid nodes={section.nodes} plain />}
            </section>
          ))}
        </div>
      ) : list.length || extra ? (
        <Grid nodes={list} id="nodes" />
      ) : null}
      {!all.length && <Empty />}
      {list.length < all.length ? <div class="to-come" /> : <OfflineNodes />}
    </>
  );
}

/** `plain`: without the cards of map and camera. */
function Grid({ nodes, id, plain = false }: { nodes: Node[]; id?: string; plain?: boolean }) {
  const grid = useRef<HTMLUListElement>(null);
  useFirstFit(grid, nodes.length);
  return (
    <ul class="grid masonry" id={id} ref={grid}>
      {!plain && settings.camera.value && <CameraCard />}
      {!plain && settings.map.value && (
        <ExtraCard>
          <MapCard />
        </ExtraCard>
      )}
      {nodes.map((node) => (
        <Card key={node.uid} node={node} />
      ))}
    </ul>
  );
}

/** A card that is no node: it grows when its contents are loaded. */
function ExtraCard({ children }: { children: ComponentChildren }) {
  const ref = useRef<HTMLLIElement>(null);
  useMasonry(ref);
  return (
    <li ref={ref} class="card map-card">
      {children}
    </li>
  );
}

function Skeletons() {
  return (
    <ul class="grid" aria-label={t("pill.joining")}>
      {[0, 1, 2, 3, 4, 5].map((key) => (
        <li key={key} class="card skeleton" />
      ))}
    </ul>
  );
}

/** Shown if the broker was never reached. */
function Unreached() {
  if (isKept())
    return (
      <div class="empty">
        <Sign shape="broken" />
        <h2>{t("kept")}</h2>
        <p>{t("kept.more")}</p>
        <Countdown />
      </div>
    );
  return (
    <div class="empty">
      <Sign shape="broken" />
      <h2>{t("unreachable")}</h2>
      <p>{useReason()}</p>
      <p>
        <code>{brokerUrl()}</code>
      </p>
      <StartCommand />
      <Countdown />
    </div>
  );
}

/** The reason why no node is shown: there are none, or none matches. */
export function Empty() {
  void membership.value;
  const there = [...state.nodes.values()].filter((node) => !node.left).length + offlineCount.value;
  const found = offline.value.length;
  if (found && parsedQuery.value.terms.length) return null; // they are below
  if (found && !present.value)
    return (
      <div class="empty none-online">
        <Sign shape="waiting" />
        <h2>{t("offline.none_online")}</h2>
        <p>{t("offline.none_online_more")}</p>
      </div>
    );
  if (there)
    return (
      <div class="empty">
        <Sign shape="filter" />
        <h2>{t("empty.filtered")}</h2>
        <p>{count("unmatched", there)}</p>
        <div class="buttons">
          {query.value && (
            <button type="button" class="button primary" onClick={() => navigate({ query: "" }, true)}>
              {t("empty.clear")}
            </button>
          )}
          {settings.hiddenNodes.value.length > 0 && (
            <button type="button" class="button" onClick={() => (settings.hiddenNodes.value = [])}>
              {t("empty.unhide")}
            </button>
          )}
        </div>
      </div>
    );
  const gateways = [...state.gateways.values()].filter((gateway) => gateway.state === "connected");
  const coap = gateways.some((gateway) => gateway.protocol === "CoAP");
  const websocket = gateways.some((gateway) => gateway.protocol === "WebSocket");
  return (
    <div class="empty">
      <Sign shape="waiting" />
      <h2>{t("empty")}</h2>
      <p>
        {gateways.length
          ? t("empty.gateways", { gateways: count("gateways", gateways.length), names: gateways.map(({ name }) => quote(name)).join(", ") })
          : link.value.legacy
            ? t("empty.legacy")
            : t("empty.no_gateways")}
      </p>
      <IgnoredTopics />
      <p>{gateways.length || link.value.legacy ? t("empty.simulate") : t("empty.start_gateway")}</p>
      <Copy text={gateways.length || link.value.legacy ? (websocket && !coap ? "aiot node ws --temperature --led" : "aiot node coap --temperature --led") : "aiot coap-gateway"} />
      {mayAddDevices.value && (
        <button type="button" class="button" onClick={() => (overlay.value = "device")}>
          {t("device.add")}
        </button>
      )}
    </div>
  );
}

function Sign({ shape }: { shape: "broken" | "filter" | "waiting" }) {
  return (
    <svg class={`sign ${shape}`} viewBox="0 0 64 64" aria-hidden="true">
      <circle cx="32" cy="32" r="29" />
      {shape === "broken" && <path d="M14 32h12M38 32h12M29 25l-4 14M39 25l-4 14" />}
      {shape === "filter" && <path d="M18 24h28M23 32h18M28 40h8" />}
      {shape === "waiting" && <path d="M17 31a22 22 0 0 1 30 0M23.500 38a12.500 12.500 0 0 1 17 0M32 45v.1" />}
    </svg>
  );
}
