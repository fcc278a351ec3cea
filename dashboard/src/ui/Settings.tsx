// SPDX-License-Identifier: BSD-3-Clause
/** The preferences. */
import { config, imageIsAllowed } from "../config";
import { isAdmin, mayAddDevices } from "../info";
import { settings } from "../settings";
import { overlay } from "./keys";
import { quote } from "../model/text";
import { titleByUid, unhide } from "../store";
import { t, type Key } from "../i18n";
import { au } from "../i18n/audit";
import "../more.css";

export function Settings() {
  const { theme, density, language, map, camera, cameraUrl, hiddenNodes } = settings;
  const reset = () => {
    theme.value = "system";
    density.value = "comfortable";
    language.value = "";
    map.value = camera.value = false;
    cameraUrl.value = "";
    hiddenNodes.value = [];
    settings.hiddenResources.value = [];
  };
  return (
    <section class="sheet settings">
      <h2>{t("tab.settings")}</h2>
      <Choices name="theme" label={t("settings.theme")} value={theme.value} choose={(value) => (theme.value = value)} choices={["system", "light", "dark"]} />
      <Choices name="density" label={t("settings.density")} value={density.value} choose={(value) => (density.value = value)} choices={["comfortable", "compact"]} />
      <label class="field">
        <span>{t("settings.language")}</span>
        <select value={language.value} onChange={(event) => (language.value = event.currentTarget.value as typeof language.value)}>
          <option value="">{t("settings.language.system")}</option>
          <option value="en">English</option>
          <option value="fr">Français</option>
          <option value="de">Deutsch</option>
        </select>
      </label>
      <fieldset>
        <legend>{t("settings.cards")}</legend>
        <label class="check">
          <input type="checkbox" checked={map.value} onChange={(event) => (map.value = event.currentTarget.checked)} />
          {t("settings.map")}
        </label>
        <label class="check">
          <input type="checkbox" checked={camera.value} onChange={(event) => (camera.value = event.currentTarget.checked)} />
          {t("settings.camera")}
        </label>
      </fieldset>
      {camera.value && (
        <label class="field">
          <span>{t("settings.camera_url")}</span>
          <input
            class="input"
            type="url"
            value={cameraUrl.value}
            placeholder={config.camera || "http://camera.local/image.jpg"}
            aria-invalid={cameraUrl.value !== "" && !imageIsAllowed(cameraUrl.value)}
            onChange={(event) => (cameraUrl.value = event.currentTarget.value.trim())}
          />
        </label>
      )}
      <fieldset>
        <legend>{t("settings.hidden")}</legend>
        {hiddenNodes.value.length === 0 && <span class="soft">{t("settings.hidden_none")}</span>}
        {hiddenNodes.value.map((uid) => (
          <button key={uid} type="button" class="button small" data-tip="" onClick={() => unhide(uid)}>
            {t("filter.show", { name: quote(titleByUid(uid)) })}
          </button>
        ))}
      </fieldset>
      <p class="soft">{t("settings.kept")}</p>
      <button type="button" class="button" onClick={reset}>
        {t("settings.reset")}
      </button>
      {(mayAddDevices.value || isAdmin.value) && (
        <div class="buttons left apart">
          {mayAddDevices.value && (
            <button type="button" class="button" onClick={() => (overlay.value = "device")}>
              {t("device.add")}
            </button>
          )}
          {isAdmin.value && (
            <a class="button" href="#/audit">
              {au("open")}
            </a>
          )}
        </div>
      )}
    </section>
  );
}

function Choices<T extends string>({ name, label, value, choices, choose }: { name: "theme" | "density"; label: string; value: T; choices: readonly T[]; choose: (value: T) => void }) {
  return (
    <fieldset class="choices">
      <legend>{label}</legend>
      {choices.map((choice) => (
        <label key={choice} class="choice">
          <input type="radio" name={name} value={choice} checked={choice === value} onChange={() => choose(choice)} />
          <span>{t(`settings.${name}.${choice}` as Key)}</span>
        </label>
      ))}
    </fieldset>
  );
}
