// SPDX-License-Identifier: BSD-3-Clause
/** Messages that a gateway counts and nobody reads: the way to a wrong topic in a firmware. */
import { membership, state } from "../store";
import { count, t } from "./words";

export function IgnoredTopics() {
  void membership.value;
  return (
    <>
      {[...state.gateways.values()].map(
        ({ name, ignored }) =>
          ignored && (
            <p key={name} class="ignored soft">
              {t("ignored", { gateway: name, messages: count("messages", ignored.count) })} <bdi>{ignored.topic}</bdi>
            </p>
          ),
      )}
    </>
  );
}
