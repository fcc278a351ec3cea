// SPDX-License-Identifier: BSD-3-Clause
/**
 * Text of devices as it is shown. Characters that change the direction of text or that are invisible
 * are shown as marks, so that no device can rearrange the page; the text itself stays as it is.
 */

// C0 and C1 controls except tab and line breaks; characters of direction; invisible spaces; anchors.
export const HIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const [ISOLATE, END] = ["\u2068", "\u2069"];

const code = (character: string): string => character.charCodeAt(0).toString(16).padStart(4, "0");

/** `a[U+202E]b` for text with a right-to-left override. */
export const visible = (text: string): string => text.replace(HIDDEN, (hidden) => `[U+${code(hidden).toUpperCase()}]`);

/** As `visible`, for text within a sentence: Arabic or Hebrew does not rearrange the words around it. */
export function quote(text: string): string {
  const shown = visible(text);
  return RIGHT_TO_LEFT.test(shown) ? `${ISOLATE}${shown}${END}` : shown;
}

/** The same JSON, with these characters as escapes. */
export const visibleJson = (json: string): string => json.replace(HIDDEN, (hidden) => `\\u${code(hidden)}`);

const CHIP = /^([a-z]{2,3}\d{2,5}[a-z]?\d*[a-z]?|[a-z]{4}\d{3,4}[a-z]?)$/;
const ACRONYMS = "AC ADC API BLE CO CPU DC GPIO GPS ID IMU IP IR LED LQI MAC MQTT PIR PM PWM RAM RGB RSSI SNR SSID TVOC UID URL USB UV VOC";
const SPELLED = new Map([
  ...ACRONYMS.split(" ").map((word) => [word.toLowerCase(), word] as const),
  ...([["co2", "CO₂"], ["eco2", "CO₂ equivalent"], ["no2", "NO₂"], ["pm1", "PM1"], ["pm25", "PM2.5"], ["wifi", "Wi-Fi"]] as const),
]);

function spelledWord(word: string): string {
  if (CHIP.test(word)) return SPELLED.get(word) ?? word.toUpperCase();
  const [, stem, number] = /^([a-z]{3,})(\d{1,2})$/.exec(word) ?? [];
  return SPELLED.get(word) ?? (stem ? `${SPELLED.get(stem) ?? stem} ${number}` : word);
}

/**
 * `Soil moisture` for `soil_moisture` and `soilMoisture`, `BME280 temperature` for `bme280_temperature`,
 * `Temperature` for `temperature_0`. What is no plain name stays as it is. As `pyaiot/model/names.py`.
 */
export function sentence(name: string): string {
  if (!/^[a-z][a-z0-9]*([_-]?[A-Za-z0-9]+)*$/.test(name)) return name;
  const split = name.replace(/([a-z0-9])([A-Z])(?=[a-z])/g, (_, end: string, start: string) => `${end}_${start.toLowerCase()}`);
  const text = split.replace("pm2_5", "pm25").replace(/[_-]+0$/, "").split(/[_-]+/).map(spelledWord).join(" ");
  return text[0].toUpperCase() + text.slice(1);
}

export interface Named {
  uid: string;
  /** The name that the device gave itself. */
  name?: string;
  /** With the name that people gave it. */
  registered?: { label: string } | null;
}

/** The name that people gave a node, or else that of the device, or else its uid. */
export const plainTitle = ({ registered, name, uid }: Named): string => registered?.label || name || uid;

/** The same, for people. */
export const nodeTitle = (node: Named): string => visible(plainTitle(node));
