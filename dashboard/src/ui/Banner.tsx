// SPDX-License-Identifier: BSD-3-Clause
/** The banner shown while the broker is lost, and when it is back. */
import { useComputed } from "@preact/signals";
import { brokerUrl, config } from "../config";
import { joined, link, missed, retry, second } from "../store";
import { quote } from "../model/text";
import { Copy } from "./Copy";
import { translate, t } from "../i18n";

export function Banner() {
  const { phase } = link.value;
  if (!joined.value) return null; // the empty page explains it
  if (phase === "live" && missed.value)
    return (
      <section class="banner back" aria-label={t("banner.link")}>
        <strong>{t("banner.back", { n: missed.value })}</strong>
        <span>{t("banner.gap")}</span>
      </section>
    );
  if (phase === "live") return null;
  return (
    <section class="banner lost" aria-label={t("banner.link")}>
      <div>
        <strong>{t("banner.lost")}</strong>
        <p class="why">{useReason()}</p>
        <p class="where">
          <code>{brokerUrl()}</code> · {t("banner.frozen")}
        </p>
      </div>
      <Countdown />
    </section>
  );
}

export function useReason(): string {
  const { reason } = link.value;
  if (!reason) return "";
  const words = translate(`why.${reason.why}`, { n: reason.seconds });
  return reason.text ? `${words} ${t("why.reason", { text: quote(reason.text) })}` : words;
}

/** The time of the next attempt, and a button to connect now. */
export function Countdown() {
  const text = useComputed(() => {
    void second.value;
    const { phase, retryAt } = link.value;
    if (phase !== "waiting") return t("banner.trying");
    return t("banner.next", { n: Math.max(0, Math.ceil((retryAt - performance.now()) / 1000)) });
  });
  return (
    <div class="countdown">
      <span>{text}</span>
      <button type="button" class="button primary" onClick={retry}>
        {t("banner.try")}
      </button>
    </div>
  );
}

/** The command that starts the broker. */
export function StartCommand() {
  const foreign = config.broker !== "" && new URL(brokerUrl()).host !== location.host;
  return (
    <>
      <p>{t(foreign ? "unreachable.start_foreign" : "unreachable.start")}</p>
      <Copy text={foreign ? `aiot run --allowed-origin ${location.origin}` : "aiot run"} />
    </>
  );
}
