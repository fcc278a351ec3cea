// SPDX-License-Identifier: BSD-3-Clause
/** The value of an alert, for people. */
import type { Alert } from "../alerts";
import { quote } from "../model/text";
import { fromBroker, localDigits, reasonText, translate } from "../i18n";

const NUMBER = /^(-?\d+(?:\.\d+)?)\s*(\D*)$/;
const OUTCOME = /^(refused|timeout|unreachable|unknown|forbidden)(?:: (.*))?$/s;

/** A value as the broker wrote it, such as `22.3°C`; else why the node is offline, or why the command failed. */
export function alertValue({ resource, value = "" }: Alert): string {
  const [, digits, unit = ""] = NUMBER.exec(value) ?? [];
  if (resource && digits) return `${localDigits(digits)}\u00a0${quote(unit)}`.trim();
  const [, outcome, detail = ""] = OUTCOME.exec(value) ?? [];
  if (resource && outcome) return [translate(`outcome.${outcome}`), quote(fromBroker(detail))].filter(Boolean).join(": ");
  return quote(fromBroker(resource ? value : reasonText(value)));
}
