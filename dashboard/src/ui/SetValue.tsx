// SPDX-License-Identifier: BSD-3-Clause
/** Writes a resource of which nothing is known, or a position, which is chosen on a map. */
import { useSignal } from "@preact/signals";
import type { Resource } from "../model/state";
import { nodeTitle, quote } from "../model/text";
import { sendCommand } from "../store";
import { Drawer, focusOn } from "./Drawer";
import { lazy } from "./lazy";
import type { PickerProperties } from "./PlacePicker";
import { nameOf, NoteLine, setting, textValue, useOff } from "./rows";
import { t } from "../i18n";
import { h } from "../i18n/home";
import "../typed.css";

const PlacePicker = lazy<PickerProperties>(() => import("./PlacePicker").then((it) => it.PlacePicker), 280);

/** The broker accepts no longer payload in a command of a page. */
const PAYLOAD_MAX = 1024;
const DEGREES = 6;

const close = () => (setting.value = null);

export function SetValue() {
  const resource = setting.value;
  return resource && (resource.type.kind === "position" ? <SetPlace resource={resource} /> : <SetText resource={resource} />);
}

function SetText({ resource }: { resource: Resource }) {
  const draft = useSignal(resource.kind === "number" ? resource.digits : textValue(resource) === resource.text ? resource.text : "");
  const off = useOff(resource);
  const names = { what: nameOf(resource), name: quote(nodeTitle(resource.node)) };
  return (
    <Drawer title={h("set.of", names)} kind="details small set-value" close={close}>
      <form
        class="view-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!off.peek()) sendCommand(resource, draft.peek());
        }}
      >
        <p class="hint">{h("set.hint")}</p>
        <input ref={focusOn} class="input" aria-label={h("set.of", names)} maxLength={PAYLOAD_MAX} value={draft} onInput={(event) => (draft.value = event.currentTarget.value)} />
        <Send resource={resource} />
      </form>
    </Drawer>
  );
}

function Send({ resource }: { resource: Resource }) {
  const off = useOff(resource);
  return (
    <>
      <div role="status">
        <NoteLine resource={resource} />
      </div>
      <div class="buttons">
        <button type="button" class="button" onClick={close}>
          {t("close")}
        </button>
        <button type="submit" class="button primary" aria-disabled={off}>
          {h("set.send")}
        </button>
      </div>
    </>
  );
}

function SetPlace({ resource }: { resource: Resource }) {
  const off = useOff(resource);
  const at = resource.node.position;
  const lat = useSignal(at ? String(at.lat) : "");
  const lng = useSignal(at ? String(at.lng) : "");
  const title = h("place.title", { name: quote(nodeTitle(resource.node)) });
  return (
    <Drawer title={title} kind="details small set-value" close={close}>
      <form
        class="view-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!off.peek()) sendCommand(resource, JSON.stringify({ lat: Number(lat.peek()), lng: Number(lng.peek()) }));
        }}
      >
        <p class="hint">{h("place.hint")}</p>
        <PlacePicker
          at={lat.value && lng.value ? { lat: Number(lat.value), lng: Number(lng.value) } : null}
          pick={(north, east) => {
            lat.value = north.toFixed(DEGREES);
            lng.value = east.toFixed(DEGREES);
          }}
        />
        <div class="place-fields">
          <Degrees label={h("place.latitude")} most={90} value={lat} />
          <Degrees label={h("place.longitude")} most={180} value={lng} />
        </div>
        <Send resource={resource} />
      </form>
    </Drawer>
  );
}

function Degrees({ label, most, value }: { label: string; most: number; value: { value: string } }) {
  return (
    <label class="field">
      <span>{label}</span>
      <input class="input" type="number" required step="any" min={-most} max={most} value={value.value} onInput={(event) => (value.value = event.currentTarget.value)} />
    </label>
  );
}
