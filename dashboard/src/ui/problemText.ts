// SPDX-License-Identifier: BSD-3-Clause
/** Why a request failed, for people. */
import { quote } from "../model/text";
import { ApiProblem } from "../registryApi";
import { fromBroker, t, translate } from "../i18n";

/**
 * In the language of the user: the detail if it is a known text, else what kind of problem it is, with
 * the detail as the broker wrote it.
 */
export function problemText(error: unknown): string {
  // `fetch` fails with a TypeError.
  if (error instanceof TypeError) return t("problem.unreachable");
  if (!(error instanceof ApiProblem)) return error instanceof Error ? error.message : String(error);
  const { status, kind, title, message } = error;
  const key = `problem.${(status === 401 || status === 403) && kind !== "not-in-scope" ? "forbidden" : kind}`;
  const words = translate(key);
  if (words !== key) return words;
  const detail = fromBroker(message);
  const what = fromBroker(title);
  return quote(detail === message && what !== title && title !== message ? `${what}: ${detail}` : detail === title ? what : detail);
}
