// SPDX-License-Identifier: BSD-3-Clause
/** An image from a URL of the node; only from hosts that the configuration allows. */
import { useComputed, useSignal } from "@preact/signals";
import { imageIsAllowed } from "../../config";
import type { Resource } from "../../model/state";
import { nodeTitle, quote, visible } from "../../model/text";
import { triggerOf } from "../../store";
import { RowFrame } from "../rows";
import { t } from "../../i18n";

export function WebcamRow({ resource }: { resource: Resource }) {
  void triggerOf(resource.node).value; // its name
  const address = useComputed(() => (void triggerOf(resource).value, resource.text.trim()));
  return (
    <RowFrame resource={resource} kind="picture">
      <Picture address={address.value} title={t("webcam.of", { name: quote(nodeTitle(resource.node)) })} flag="--webcam-host" />
    </RowFrame>
  );
}

/** The image, or the reason why there is none. */
export function Picture({ address, title, flag }: { address: string; title: string; flag: string }) {
  const failed = useSignal("");
  if (!address) return <p class="picture-note">{t("webcam.none")}</p>;
  if (!imageIsAllowed(address))
    return (
      <p class="picture-note">
        {t("webcam.forbidden", { address: quote(address.slice(0, 120)) })} <code>{flag} {visible(hostOf(address))}</code>
      </p>
    );
  if (failed.value === address) return <p class="picture-note">{t("webcam.failed", { address: quote(address.slice(0, 120)) })}</p>;
  return <img class="picture" src={address} alt={title} loading="lazy" onError={() => (failed.value = address)} />;
}

function hostOf(address: string): string {
  try {
    return new URL(address).host;
  } catch {
    return "HOST";
  }
}
