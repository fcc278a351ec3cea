// SPDX-License-Identifier: BSD-3-Clause
/** The texts of "Add a device", which are loaded with it; the English ones define the keys. */
import { texts } from "./texts";

const en = {
  title: "Add a device",
  of: "The device {name}",
  name: "Name",
  "name.hint": "Its uid: letters, digits and . _ : - without spaces.",
  protocol: "How it connects",
  none: "(no credentials)",
  add: "Add",
  once: "The secret is shown only now. Copy it before you close this.",
  how: "Connection details",
  local: "So far, the gateway accepts only devices on its own machine.",
  board: "Board",
  "board.riot": "RIOT",
  "board.micropython": "MicroPython",
  "board.arduino": "Arduino",
  "board.shell": "Shell",
  code: "Code to paste",
  waiting: "Waiting for the device…",
  here: "The device is online. Give it a name:",
  label: "Display name",
  show: "Show the node",
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
  how: "Paramètres de connexion",
  local: "Pour l’instant, la passerelle n’accepte que les appareils de sa propre machine.",
  board: "Carte",
  "board.riot": "RIOT",
  "board.micropython": "MicroPython",
  "board.arduino": "Arduino",
  "board.shell": "Shell",
  code: "Code à coller",
  waiting: "En attente de l’appareil…",
  here: "L’appareil est en ligne. Donnez-lui un nom :",
  label: "Nom affiché",
  show: "Afficher le nœud",
  elsewhere: "Les passerelles de ce broker tournent ailleurs. Sur la machine de la passerelle, lancez :",
  unreachable: "Le broker est injoignable.",
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
  how: "Verbindungsdaten",
  local: "Das Gateway nimmt bisher nur Geräte auf seinem eigenen Rechner an.",
  board: "Board",
  "board.riot": "RIOT",
  "board.micropython": "MicroPython",
  "board.arduino": "Arduino",
  "board.shell": "Shell",
  code: "Code zum Einfügen",
  waiting: "Warten auf das Gerät …",
  here: "Das Gerät ist online. Geben Sie ihm einen Namen:",
  label: "Anzeigename",
  show: "Knoten anzeigen",
  elsewhere: "Die Gateways dieses Brokers laufen anderswo. Führen Sie auf dem Rechner des Gateways aus:",
  unreachable: "Der Broker ist nicht erreichbar.",
};

/** The text for `key`, with the values replaced. */
export const d = texts({ en, fr, de });
