// SPDX-License-Identifier: BSD-3-Clause
import { t, timeOf } from "../i18n";

export { ago, count, formatNumber, localDigits, said, t, timeOf } from "../i18n";

/** "at 14:03:22": for a time that does not get older while one looks. */
export const textAge = (ts: number): string => t("value.at", { time: timeOf(ts) });
