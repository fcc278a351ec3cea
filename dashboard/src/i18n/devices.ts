// SPDX-License-Identifier: BSD-3-Clause
/** The texts of "Add a device", which are loaded with it; the English ones define the keys. */
import { language } from ".";
import type { Code } from "./ages";

const en = {
  title: "Add a device",
  of: "The device {name}",
  name: "Name",
  "name.hint": "Its uid: letters, digits and . _ : - without spaces.",
  protocol: "How it connects",
  none: "(no credentials)",
  add: "Add",
  once: "The secret is shown only now. Copy it before you close this.",
  local: "The gateway accepts only devices on this machine so far.",
  board: "Board",
  "board.riot": "RIOT",
  "board.micropython": "MicroPython",
  "board.arduino": "Arduino",
  "board.shell": "Shell",
  code: "Code to paste",
  waiting: "Waiting for the device…",
  here: "Here it is. Give it a name:",
  label: "Name for people",
  show: "Show it",
  elsewhere: "The gateways of this broker run elsewhere. On the machine of the gateway, run:",
  unreachable: "The broker cannot be reached.",
};

export type DeviceKey = keyof typeof en;

const fr: Record<DeviceKey, string> = {
  title: "Ajouter un appareil",
  of: "L’appareil {name}",
  name: "Nom",
  "name.hint": "Son uid : lettres, chiffres et . _ : - sans espaces.",
  protocol: "Comment il se connecte",
  none: "(sans identifiants)",
  add: "Ajouter",
  once: "Le secret n’est affiché que maintenant. Copiez-le avant de fermer.",
  local: "Pour l’instant, la passerelle n’accepte que les appareils de cette machine.",
  board: "Carte",
  "board.riot": "RIOT",
  "board.micropython": "MicroPython",
  "board.arduino": "Arduino",
  "board.shell": "Shell",
  code: "Code à coller",
  waiting: "En attente de l’appareil…",
  here: "Le voici. Donnez-lui un nom :",
  label: "Nom pour les utilisateurs",
  show: "L’afficher",
  elsewhere: "Les passerelles de ce courtier sont ailleurs. Sur la machine de la passerelle, lancez :",
  unreachable: "Le courtier est injoignable.",
};

const de: Record<DeviceKey, string> = {
  title: "Gerät hinzufügen",
  of: "Das Gerät {name}",
  name: "Name",
  "name.hint": "Seine uid: Buchstaben, Ziffern und . _ : - ohne Leerzeichen.",
  protocol: "Wie es sich verbindet",
  none: "(ohne Zugangsdaten)",
  add: "Hinzufügen",
  once: "Das Geheimnis wird nur jetzt angezeigt. Kopieren Sie es vor dem Schließen.",
  local: "Das Gateway nimmt bisher nur Geräte dieses Rechners an.",
  board: "Board",
  "board.riot": "RIOT",
  "board.micropython": "MicroPython",
  "board.arduino": "Arduino",
  "board.shell": "Shell",
  code: "Code zum Einfügen",
  waiting: "Warten auf das Gerät…",
  here: "Hier ist es. Geben Sie ihm einen Namen:",
  label: "Name für Menschen",
  show: "Anzeigen",
  elsewhere: "Die Gateways dieses Brokers laufen anderswo. Auf dem Rechner des Gateways:",
  unreachable: "Der Broker ist nicht erreichbar.",
};

const words: Record<Code, Record<DeviceKey, string>> = { en, fr, de };

/** The text for `key`, with `{name}` replaced. */
export const d = (key: DeviceKey, values: { name?: string } = {}): string => words[language.value][key].replace("{name}", values.name ?? "");
