// SPDX-License-Identifier: BSD-3-Clause
/** What the header of a phone has no room for. */
import { info, signsIn } from "../info";
import { navigate } from "../route";
import { settings } from "../settings";
import { Drawer } from "./Drawer";
import { nextTheme } from "./Header";
import { Icon, type IconName } from "./icons";
import { isLive, pause, paused } from "../store";
import { overlay, toggleTimeline } from "./keys";
import { t } from "../i18n";
import "../home.css";

export function MainMenu() {
  const item = (icon: IconName, label: string, act: () => void) => (
    <button
      type="button"
      onClick={() => {
        overlay.value = "";
        act();
      }}
    >
      <Icon name={icon} />
      {label}
    </button>
  );
  return (
    <Drawer title={t("tab.menu")} kind="details small node-menu" close={() => (overlay.value = "")}>
      <div class="menu-items with-icons">
        {isLive.value && !paused.value && item("pause", t("pill.pause"), () => pause(true))}
        {item("activity", t("tab.activity"), () => (overlay.value = "activity"))}
        {info.value?.history && item("timeline", t("tab.timeline"), toggleTimeline)}
        {item("settings", t("tab.settings"), () => navigate({ screen: "settings", node: "" }))}
        {item("theme", t("theme.now", { theme: t(`settings.theme.${settings.theme.value}`) }), nextTheme)}
        {signsIn.value && item("account", t("account.title"), () => (overlay.value = "account"))}
        {item("help", t("tab.help"), () => (overlay.value = "help"))}
      </div>
    </Drawer>
  );
}
