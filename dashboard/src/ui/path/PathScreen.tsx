// SPDX-License-Identifier: BSD-3-Clause
/** The path: devices, gateways, broker and clients, with rates, health, and commands on the way. */
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { apiUrl, mayHaveApi } from "../../config";
import { info, mayCommand, type Info } from "../../info";
import { payloadOf, truthOf } from "../../model/resourceTypes";
import { branchesOf, Growth, type Branch, type Cluster, type Device, type GatewayReport, type Journey } from "../../model/topology";
import { nodeTitle, quote, visible } from "../../model/text";
import { isNarrow } from "../../narrow";
import { navigate, nodeLink } from "../../route";
import { clock, isLive, link, membership, past, rate, second, sendCommand, setVisible, state, titleByUid } from "../../store";
import { ago, formatNumber, t, translate } from "../../i18n";
import { d } from "../../i18n/details";
import { pt } from "../../i18n/path";
import { whoText } from "../details/NodeActivity";
import { overlay } from "../keys";
import { nameOf, titleOf } from "../rows";
import { Box, Others, PeerBox, rateText } from "./boxes";
import { follow, journeys, rates } from "./journeys";
import { travel } from "./travel";
import { Why } from "./Why";
import "../../more.css";
import "../../path.css";

const READ_MS = 5000;

/** A rate that this page measures. */
const measured = (value: number): string => rateText(rates.isKnown ? value : null);

/** What the broker counts, between two answers. */
const grown = new Growth();

export function PathScreen() {
  void membership.value;
  void second.value;
  const root = useRef<HTMLDivElement>(null);
  const reports = useSignal<GatewayReport[] | null>(null);
  const cluster = useSignal<Cluster | null>(null);
  const about = useSignal<(Info & { clients?: number; clients_behind?: number; messages?: number }) | null>(null);
  useEffect(() => follow((journey) => travel(root.current, journey)), []);
  useEffect(() => {
    let hasCluster = true;
    const read = async () => {
      if (document.hidden || link.peek().legacy || !mayHaveApi()) return;
      const [gateways, broker] = await Promise.all(["gateways", "info"].map(async (what) => (await fetch(apiUrl() + what)).json() as Promise<unknown>));
      const now = clock();
      const found = (gateways as { gateways?: GatewayReport[] }).gateways ?? [];
      for (const { name, readings } of found) grown.add(`gateway ${name}`, readings, now);
      reports.value = found;
      about.value = broker as NonNullable<typeof about.value>;
      grown.add("broker", about.value.messages, now);
      // A broker of an earlier version has no such path.
      const answer = hasCluster ? await fetch(`${apiUrl()}cluster`) : null;
      if (answer?.ok) {
        cluster.value = (await answer.json()) as Cluster;
        for (const { name, readings } of cluster.value.peers) grown.add(`peer ${name}`, readings, clock());
      }
      else if (answer?.status === 404) hasCluster = false;
    };
    const again = () => void read().catch(() => undefined); // the next time
    again();
    const timer = setInterval(again, READ_MS);
    return () => clearInterval(timer);
  }, []);
  const branches = branchesOf(state, rates, clock(), reports.value ?? [], isNarrow.value ? grown : undefined);
  const others = Math.max(0, (about.value?.clients ?? 1) - 1);
  return (
    <section class="path">
      <h2>{pt("title")}</h2>
      <p class="soft">{pt("about")}</p>
      <div class="path-place" ref={root}>
        <div class="path-columns" aria-hidden="true">
          <span>
            <span>{pt("devices")}</span>
            <span>{pt("gateways")}</span>
          </span>
          <span>{pt("broker")}</span>
          <span>{pt("clients")}</span>
        </div>
        <div class="path-map">
          <ul class="path-branches" aria-label={pt("gateways")}>
            {branches.length === 0 && <li class="wait">{pt("gateway.none")}</li>}
            {branches.map((branch) => (
              <BranchRow key={branch.name} branch={branch} />
            ))}
          </ul>
          <div class="path-brokers">
          <Box name="broker" title={cluster.value?.in_cluster ? quote(cluster.value.name) : pt("broker")} health={link.value.phase === "live" ? "good" : "bad"} open={() => (overlay.value = "activity")} label={`${pt("broker")}: ${t("tab.activity")}`}>
            <span>Pyaiot {visible(state.brokerVersion)}</span>
            <span>{rateText((isNarrow.value ? grown.of("broker") : null) ?? rate.value)}</span>
            {info.value && <span>{pt(info.value.history ? "history" : "no_history")}</span>}
            {cluster.value?.in_cluster && <span>{pt(cluster.value.connected ? "broker.this" : "broker.alone")}</span>}
          </Box>
          {(cluster.value?.peers ?? []).map((peer) => (
            <PeerBox key={`${peer.name} ${peer.address}`} peer={peer} perSecond={grown.of(`peer ${peer.name}`)} />
          ))}
          </div>
          <div class="path-clients">
            <Box name="page" title={pt("clients.page")} health={link.value.phase === "live" ? "good" : "bad"} open={() => navigate({ screen: "settings", node: "" })} label={`${pt("clients.page")}: ${t("tab.settings")}`}>
              <span>{rateText(rate.value)}</span>
              <span>{t(past.value ? "pill.past" : link.value.phase === "live" ? "pill.live" : "pill.connecting")}</span>
            </Box>
            {others > 0 && <Others others={others} behind={about.value?.clients_behind ?? 0} perSecond={grown.of("broker")} />}
          </div>
        </div>
      </div>
      <div class="path-below">
        <section class="path-card" aria-labelledby="path-commands">
          <h3 id="path-commands">{pt("commands")}</h3>
          {journeys.value.length === 0 && <p class="soft">{pt("commands.none")}</p>}
          <div role="log">
            <ol class="log">
              {journeys.value.map((journey) => (
                <JourneyRow key={journey.id} journey={journey} />
              ))}
            </ol>
          </div>
        </section>
        <Why branches={branches} reports={reports.value} />
      </div>
    </section>
  );
}

function BranchRow({ branch }: { branch: Branch }) {
  const { name, protocol, health, devices, more, online, troubled, broker } = branch;
  const filter = () => navigate({ screen: "nodes", node: "", query: `gateway:${/\s/.test(name) ? `"${name}"` : name}` });
  return (
    <li class="path-branch" data-health={health}>
      <ul class="path-devices" aria-label={`${pt("devices")}: ${quote(name)}`}>
        {devices.length === 0 && <li class="soft none">{pt("devices.none")}</li>}
        {devices.map((device) => (
          <DeviceRow key={device.node.uid} device={device} />
        ))}
        {more > 0 && (
          <li>
            <button type="button" class="button small" onClick={filter}>
              {pt("devices.more", { n: formatNumber(more) })}
            </button>
          </li>
        )}
      </ul>
      <i class="path-line" aria-hidden="true" data-flows={branch.rate > 0} />
      <button type="button" class="path-box" data-gateway={name} data-broker={broker || undefined} data-health={health} title={t("tab.nodes")} onClick={filter}>
        <strong>{quote(name)}</strong>
        {protocol && protocol.toLowerCase() !== name.toLowerCase() && <span>{quote(protocol)}</span>}
        {broker && <span>{pt("gateway.at", { broker: quote(broker) })}</span>}
        <span>{pt("gateway.nodes", { n: formatNumber(online) })}</span>
        <span>{branch.rate ? rateText(branch.rate) : measured(0)}</span>
        <span class="path-health">{troubled ? pt("gateway.troubled", { n: formatNumber(troubled) }) : pt(`health.${health}`)}</span>
      </button>
      <i class="path-line" aria-hidden="true" data-flows={branch.rate > 0} />
    </li>
  );
}

function DeviceRow({ device: { node, how, rate: perSecond } }: { device: Device }) {
  const title = nodeTitle(node);
  useLayoutEffect(() => {
    setVisible(node, true);
    return () => setVisible(node, false);
  }, [node]);
  const lamp = [...node.resources.values()].find(({ type, name }) => (type.kind === "boolean" && type.writable !== false) || (name === "led" && type.kind === undefined));
  const on = lamp ? truthOf(lamp.text, lamp.type) === true : false;
  const word = how === "live" ? "" : translate(`filter.state.${how}`);
  return (
    <li class="path-device" data-device={node.uid} data-state={how}>
      <a {...nodeLink(node.uid)}>
        <span class="path-name">{title}</span>
        <span class="soft">{word.startsWith("filter.") || !word ? measured(perSecond) : word}</span>
      </a>
      {lamp && mayCommand.value && isLive.value && !node.left && (
        <button
          type="button"
          class="path-switch"
          role="switch"
          aria-checked={on}
          aria-busy={lamp.command?.state === "pending"}
          aria-label={pt("toggle", { resource: nameOf(lamp), name: quote(title) })}
          onClick={() => lamp.command?.state !== "pending" && sendCommand(lamp, payloadOf(!on, lamp.type))}
        >
          <i />
        </button>
      )}
    </li>
  );
}

function JourneyRow({ journey: { uid, gateway, name, payload, ts, who, outcome, elapsed_ms } }: { journey: Journey }) {
  const by = whoText(who);
  return (
    <li data-state={outcome ?? "pending"}>
      <time>{ago(clock() + state.offset - ts)}</time>
      <span>
        {titleOf(name)} {payload === null ? "" : "= "}
        {payload !== null && <code>{visible(payload.trim().slice(0, 40))}</code>} →{" "}
        <a {...nodeLink(uid)}>
          {titleByUid(uid)}
        </a>
        <span class="soft">
          {gateway && ` · ${quote(gateway)}`}
          {by && ` · ${d("by", { who: by })}`}
        </span>
      </span>
      <span class="outcome">
        {outcome === null ? pt("waiting") : quote(translate(`outcome.${outcome}`))}
        {outcome === "confirmed" && elapsed_ms !== null && ` · ${formatNumber(Math.max(1, Math.round(elapsed_ms)))} ms`}
      </span>
    </li>
  );
}
