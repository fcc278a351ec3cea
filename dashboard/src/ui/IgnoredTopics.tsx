// SPDX-License-Identifier: BSD-3-Clause
/** Messages on unknown topics, to find a wrong topic in firmware. */
import { quote, visible } from "../model/text";
import { membership, state } from "../store";
import { count, t } from "../i18n";

export function IgnoredTopics() {
  void membership.value;
  return (
    <>
      {[...state.gateways.values()].map(
        ({ name, ignored }) =>
          ignored && (
            <p key={name} class="ignored soft">
              {t("ignored", { gateway: quote(name), messages: count("messages", ignored.count) })} <bdi>{visible(ignored.topic)}</bdi>
            </p>
          ),
      )}
    </>
  );
}
