// SPDX-License-Identifier: BSD-3-Clause
/** The camera card, if the settings enable it. */
import { useRef } from "preact/hooks";
import { config } from "../config";
import { settings } from "../settings";
import { useMasonry } from "./masonry";
import { Picture } from "./controls/Webcam";
import { t } from "../i18n";

export function CameraCard() {
  const ref = useRef<HTMLLIElement>(null);
  useMasonry(ref);
  const address = settings.cameraUrl.value || config.camera;
  return (
    <li ref={ref} class="card camera-card" data-state="live">
      <div class="head">
        <h3>{t("camera")}</h3>
      </div>
      <Picture address={address} title={t("camera")} flag="--webcam-host" />
    </li>
  );
}
