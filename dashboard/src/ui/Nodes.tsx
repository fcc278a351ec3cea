// SPDX-License-Identifier: BSD-3-Clause
/** The cards, or the reason why there are none. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { brokerUrl, isKept } from "../config";
import type { Node } from "../model/state";
import { layout } from "../layout";
import { screen } from "../route";
import { settings } from "../settings";
import { joined, link, newcomers, offlineCount, shown } from "../store";
import { Countdown, StartCommand, useReason } from "./Banner";
import { Card } from "./Card";
import { lazy } from "./lazy";
import { GroupHead, isClosed, sections, sectionTitle } from "./groups";
import { useFirstFit, useMasonry } from "./masonry";
import { usePortions } from "./portions";
import { Sign } from "./Sign";
import { t } from "../i18n";

const CameraCard = lazy(() => import("./CameraCard").then((it) => it.CameraCard));
/** The reason why no node is shown. */
export const Empty = lazy(() => import("./Empty").then((it) => it.Empty));
const MapCard = lazy(() => import("./map/MapScreen").then((it) => it.MapCard));

const Offline = lazy(() => import("./Offline").then((it) => it.Offline));
const loadBar = () => import("./HomeBar").then((it) => it.HomeBar);
const HomeBar = lazy(loadBar, matchMedia("(max-width: 560px)").matches ? 118 : 50);
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
    <ul class="grid masonry" id={id} ref={grid} aria-label={id && t("tab.nodes")}>
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
