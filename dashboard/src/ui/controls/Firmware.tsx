// SPDX-License-Identifier: BSD-3-Clause
/** The steps of a firmware update, and what to do when one fails. */
import { firmware, STEPS, type Firmware } from "../../model/firmware";
import type { Resource } from "../../model/state";
import { triggerOf } from "../../store";
import { RowFrame } from "../rows";
import { formatNumber, t } from "../../i18n";

export function FirmwareRow({ resource }: { resource: Resource }) {
  const { node } = resource;
  void triggerOf(resource).value;
  const download = node.resources.get("dwnld");
  if (download) void triggerOf(download).value;
  const it = firmware(node);
  return (
    <RowFrame resource={resource} kind="firmware">
      {it && <Stepper it={it} />}
    </RowFrame>
  );
}

export function Stepper({ it }: { it: Firmware }) {
  if (it.step < 0) return <p class="value">{t("firmware.idle")}</p>;
  return (
    <div class="stepper">
      <ol>
        {STEPS.map((name, index) => {
          const how = index < it.step || (index === 4 && it.step === 4) ? "done" : index > it.step ? "next" : it.failed ? "failed" : "now";
          return (
            <li key={name} data-step={how} aria-current={index === it.step ? "step" : undefined}>
              <span>
                {t(`firmware.${name}`)}
                {index === 2 && it.step === 2 && !it.failed ? ` ${formatNumber(it.percent)} %` : ""}
              </span>
            </li>
          );
        })}
      </ol>
      {it.step === 2 && !it.failed && (
        <progress max={100} value={it.percent} aria-label={t("firmware.download")} />
      )}
      {it.failed && (
        <p class="failed">
          <strong>{t(`firmware.${it.failed}`)}</strong> {t(`firmware.${it.failed}_now`)}
        </p>
      )}
    </div>
  );
}
