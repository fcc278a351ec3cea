// SPDX-License-Identifier: BSD-3-Clause
/** Messages on unknown topics and clients that were refused, to find what is wrong in firmware. */
import { Fragment } from "preact";
import { quote, visible } from "../model/text";
import { membership, state } from "../store";
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
                {t("ignored", { gateway: quote(name), messages: count("messages", ignored.count) })} <bdi>{visible(ignored.topic)}</bdi>
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
