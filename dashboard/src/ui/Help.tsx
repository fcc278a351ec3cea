// SPDX-License-Identifier: BSD-3-Clause
/** Keyboard shortcuts and search syntax. */
import { Drawer } from "./Drawer";
import { KEYS, overlay } from "./keys";
import { t, type Key } from "../i18n";

const EXAMPLES: readonly [string, Key][] = [
  ["kitchen", "help.word"],
  ["temp>25  hum<=40", "help.compare"],
  ["board:samr21  gateway:coap", "help.fact"],
  ["state:stale", "help.state"],
  ["tag:lamps  room:kitchen", "help.tag"],
  ["has:led", "help.has"],
  ["-board:native", "help.not"],
];

export function Help() {
  return (
    <Drawer title={t("tab.help")} kind="help" close={() => (overlay.value = "")}>
      <h3>{t("keys.title")}</h3>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split("  ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(what)}</dd>
          </div>
        ))}
      </dl>
      <h3>{t("help.search")}</h3>
      <dl>
        {EXAMPLES.map(([example, what]) => (
          <div key={example}>
            <dt>
              <code>{example}</code>
            </dt>
            <dd>{t(what)}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">{t("help.url")}</p>
    </Drawer>
  );
}
