// SPDX-License-Identifier: BSD-3-Clause
/** Messages on unknown topics and clients that were refused, to find what is wrong in firmware. */
import { Fragment } from "preact";
import { mayAddDevices } from "../info";
import { quote, visible } from "../model/text";
import { membership, state } from "../store";
import { overlay } from "./keys";
import { count, t } from "../i18n";

export function IgnoredTopics() {
  void membership.value;
  return (
    <>
      {[...state.gateways.values()].map(
        ({ name, ignored, refused }) => (
          <Fragment key={name}>
            {!!ignored?.count && (
              <p class="ignored soft">
                {t("ignored", { gateway: quote(name), messages: count("messages", ignored.count) })} <bdi>{visible(ignored.topic)}</bdi>{" "}
                {mayAddDevices.value && (
                  <button type="button" class="button" onClick={() => (overlay.value = "topics")}>
                    {t("ignored.map")}
                  </button>
                )}
              </p>
            )}
            {!!refused?.count && (
              <p class="ignored soft">
                {t("refused_clients", { gateway: quote(name), clients: count("clients", refused.count) })} <bdi>{visible(refused.refusal)}</bdi>
              </p>
            )}
          </Fragment>
        ),
      )}
    </>
  );
}
