// SPDX-License-Identifier: BSD-3-Clause
/** The texts of the timeline, which are loaded with it; the English ones define the keys. */
import { texts } from "./texts";

const en = {
  title: "Timeline",
  past: "You see the past.",
  off: "Controls and edits are off.",
  now: "You see the present. Move the slider to see the past.",
  unrecorded: "Nothing was recorded at this time: the broker was stopped. This is the state before.",
  live: "Back to live",
  close: "Close the timeline",
  play: "Play",
  pause: "Pause",
  speed: "Speed",
  span: "Range",
  moment: "Moment",
  slider: "Moment that the page shows",
  loading: "Loading…",
  failed: "The history could not be loaded: {reason}.",
  ago: "{age} ago",
};

export type TimelineKey = keyof typeof en;

const fr: Record<TimelineKey, string> = {
  title: "Chronologie",
  past: "Vous voyez le passé.",
  off: "Les commandes et les modifications sont désactivées.",
  now: "Vous voyez le présent. Déplacez le curseur pour voir le passé.",
  unrecorded: "Rien n’a été enregistré à ce moment : le broker était arrêté. Voici l’état d’avant.",
  live: "Retour au direct",
  close: "Fermer la chronologie",
  play: "Lecture",
  pause: "Pause",
  speed: "Vitesse",
  span: "Période",
  moment: "Moment",
  slider: "Moment affiché par la page",
  loading: "Chargement…",
  failed: "L’historique n’a pas pu être chargé : {reason}.",
  ago: "il y a {age}",
};

const de: Record<TimelineKey, string> = {
  title: "Zeitleiste",
  past: "Sie sehen die Vergangenheit.",
  off: "Steuerung und Bearbeitung sind aus.",
  now: "Sie sehen die Gegenwart. Bewegen Sie den Regler, um die Vergangenheit zu sehen.",
  unrecorded: "Zu dieser Zeit wurde nichts aufgezeichnet: Der Broker war aus. Dies ist der Zustand davor.",
  live: "Zurück zu live",
  close: "Zeitleiste schließen",
  play: "Abspielen",
  pause: "Anhalten",
  speed: "Geschwindigkeit",
  span: "Zeitraum",
  moment: "Zeitpunkt",
  slider: "Angezeigter Zeitpunkt",
  loading: "Wird geladen …",
  failed: "Der Verlauf konnte nicht geladen werden: {reason}.",
  ago: "vor {age}",
};

/** The text for `key`, with the values replaced. */
export const tl = texts({ en, fr, de });
