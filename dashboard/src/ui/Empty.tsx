// SPDX-License-Identifier: BSD-3-Clause
/** The reason why no node is shown, and how to begin. */
import { mayAddDevices } from "../info";
import { quote } from "../model/text";
import { navigate, query } from "../route";
import { settings } from "../settings";
import { link, membership, offline, offlineCount, parsedQuery, present, state } from "../store";
import { Copy } from "./Copy";
import { IgnoredTopics } from "./IgnoredTopics";
import { overlay } from "./keys";
import { Sign } from "./Sign";
import { count, t } from "../i18n";

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
