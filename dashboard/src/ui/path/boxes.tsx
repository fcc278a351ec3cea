// SPDX-License-Identifier: BSD-3-Clause
/** The boxes of the path from the brokers to the clients. Each leads to its details. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { isAdmin, signsIn } from "../../info";
import { peerHealth, type Peer } from "../../model/topology";
import { quote, visible } from "../../model/text";
import { past } from "../../store";
import { ago, formatNumber, t } from "../../i18n";
import { pt } from "../../i18n/path";
import { Drawer } from "../Drawer";
import { overlay } from "../keys";

/** Of now; the past has none. null: not known yet. */
export const rateText = (value: number | null): string =>
  past.value ? "" : pt("rate", { n: value === null ? "–" : formatNumber(value >= 10 ? Math.round(value) : Math.round(value * 10) / 10) });

export function Box({ name, title, health, open, label, children }: { name: string; title: string; health: string; open: () => void; label: string; children: ComponentChildren }) {
  return (
    <button type="button" class="path-box" data-box={name} data-health={health} title={label} onClick={open}>
      <strong>{title}</strong>
      {children}
    </button>
  );
}

/** A box without a page of its own: it opens a list of what is known. */
function BoxWithFacts({ facts, hint, ...box }: { name: string; title: string; health: string; facts: [string, string][]; hint: string; children: ComponentChildren }) {
  const isOpen = useSignal(false);
  return (
    <>
      <Box {...box} open={() => (isOpen.value = true)} label={pt("details", { name: box.title })} />
      {isOpen.value && (
        <Drawer title={box.title} kind="details small" close={() => (isOpen.value = false)}>
          <dl class="facts">
            {facts.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
          <p class="hint">{hint}</p>
        </Drawer>
      )}
    </>
  );
}

/** Where people sign in, administrators see who they are. */
export function Others({ others, behind, perSecond }: { others: number; behind: number; perSecond: number | null }) {
  const health = behind ? "warn" : "good";
  const title = pt("clients.others", { n: formatNumber(others) });
  const content = (
    <>
      <span>{pt("clients.n", { n: formatNumber(others + 1) })}</span>
      <span class="path-health">{behind ? pt("clients.behind", { n: formatNumber(behind) }) : pt("health.good")}</span>
    </>
  );
  if (isAdmin.value && signsIn.value)
    return (
      <Box name="others" title={title} health={health} open={() => (overlay.value = "account")} label={`${title}: ${t("account.title")}`}>
        {content}
      </Box>
    );
  const facts: [string, string][] = [
    [pt("fact.connected"), formatNumber(others + 1)],
    [pt("fact.behind"), formatNumber(behind)],
  ];
  if (perSecond !== null) facts.push([pt("fact.sent"), rateText(perSecond)]);
  return (
    <BoxWithFacts name="others" title={title} health={health} facts={facts} hint={pt(signsIn.value ? "clients.hidden" : "clients.unnamed")}>
      {content}
    </BoxWithFacts>
  );
}

/** Another broker of the cluster: leads to its dashboard, if its address is known. */
export function PeerBox({ peer, perSecond }: { peer: Peer; perSecond: number | null }) {
  const { name, address, version, nodes, gateways, clients, silent_s, lag_s } = peer;
  const health = peerHealth(peer);
  const how = pt(health === "good" ? "health.good" : peer.state === "online" ? "broker.late" : `broker.${peer.state}`, { s: formatNumber(Math.round(lag_s)) });
  const content = (
    <>
      <span>Pyaiot {visible(version)}</span>
      {typeof nodes === "number" && <span>{pt("broker.nodes", { n: formatNumber(nodes), gateways: formatNumber(gateways ?? 0) })}</span>}
      {perSecond !== null && <span>{rateText(perSecond)}</span>}
      {typeof clients === "number" && <span>{pt("broker.clients", { n: formatNumber(clients) })}</span>}
      <span class="path-health">{how}</span>
    </>
  );
  const page = pageOf(address);
  const box = `broker ${name}`;
  if (page)
    return (
      <a class="path-box" data-box={box} data-health={health} href={page} target="_blank" rel="noopener" title={pt("broker.open", { name: quote(name) })}>
        <strong>{quote(name)}</strong>
        {content}
      </a>
    );
  const facts: [string, string][] = [
    [pt("fact.state"), how],
    [pt("fact.version"), `Pyaiot ${visible(version)}`],
    [pt("fact.seen"), ago(silent_s)],
  ];
  const counts = [
    ["devices", nodes],
    ["gateways", gateways],
    ["clients", clients],
  ] as const;
  for (const [key, count] of counts) if (typeof count === "number") facts.push([pt(key), formatNumber(count)]);
  if (perSecond !== null) facts.push([pt("fact.readings"), rateText(perSecond)]);
  return (
    <BoxWithFacts name={box} title={quote(name)} health={health} facts={facts} hint={pt(isAdmin.value ? "broker.no_address" : "broker.hidden")}>
      {content}
    </BoxWithFacts>
  );
}

/** The dashboard of a broker, from the address that it states; empty if that is no address of the web. */
function pageOf(address: string): string {
  try {
    const url = new URL(address.replace(/^ws/, "http"));
    return /^https?:$/.test(url.protocol) ? `${url.origin}/#/path` : "";
  } catch {
    return "";
  }
}
