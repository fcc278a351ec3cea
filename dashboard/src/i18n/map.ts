// SPDX-License-Identifier: BSD-3-Clause
/** The texts of the map, which are loaded with it; the English ones define the keys. */
import { language } from ".";
import type { Code } from "./ages";

const en = {
  region: "Map. Arrow keys move it, + and − zoom.",
  tracks: "Tracks",
  "tracks.0": "none",
  "tracks.3600": "of 1 hour",
  "tracks.21600": "of 6 hours",
  "tracks.86400": "of 24 hours",
  "tracks.most": "The tracks of the first {n} nodes are shown.",
  move: "Move nodes",
  "move.done": "Done",
  "move.hint": "Drag a node to its place. By keyboard: choose a node with Tab, move it with the arrow keys (with Shift in small steps), Enter saves, Escape cancels.",
  "move.reports": "{name} reports its own position and cannot be moved.",
  moved: "{name} was moved",
  placed: "{name} was placed",
  "moved.conflict": "Somebody else moved {name} meanwhile. Its new place is shown.",
  without: "Nodes without a place",
  put: "Put in the middle: {name}",
  "put.short": "Put in the middle",
  cluster: "{n} nodes: {names}",
  "cluster.more": "{names} and {n} more",
  grid: "Grid {length}",
  scale: "Scale at the middle of the map: {length}",
  world: "Map",
  plans: "Floor plans",
  choose: "Map or floor plan",
  compass: "NSEW",
  at: "Coordinates",
  no_place: "No node has a place yet",
  no_place_more: "Nodes that report a position appear here. You can also give a node a place yourself.",
};
export type MapKey = keyof typeof en;

const fr: Record<MapKey, string> = {
  region: "Carte. Les flèches la déplacent, + et − zooment.",
  tracks: "Tracés",
  "tracks.0": "aucun",
  "tracks.3600": "sur 1 heure",
  "tracks.21600": "sur 6 heures",
  "tracks.86400": "sur 24 heures",
  "tracks.most": "Les tracés des {n} premiers nœuds sont affichés.",
  move: "Déplacer des nœuds",
  "move.done": "Terminé",
  "move.hint": "Faites glisser un nœud à sa place. Au clavier : choisissez un nœud avec Tab, déplacez-le avec les flèches (avec Maj par petits pas), Entrée enregistre, Échap annule.",
  "move.reports": "{name} publie sa propre position et ne peut pas être déplacé.",
  moved: "{name} a été déplacé",
  placed: "{name} a été placé",
  "moved.conflict": "Quelqu’un d’autre a déplacé {name} entre-temps. Sa nouvelle place est affichée.",
  without: "Nœuds sans place",
  put: "Placer au milieu : {name}",
  "put.short": "Placer au milieu",
  cluster: "{n} nœuds : {names}",
  "cluster.more": "{names} et {n} autres",
  grid: "Grille {length}",
  scale: "Échelle au milieu de la carte : {length}",
  world: "Carte",
  plans: "Plans des salles",
  choose: "Carte ou plan",
  compass: "NSEO",
  at: "Coordonnées",
  no_place: "Aucun nœud n’a encore de place",
  no_place_more: "Les nœuds qui publient une position apparaissent ici. Vous pouvez aussi donner une place à un nœud.",
};

const de: Record<MapKey, string> = {
  region: "Karte. Pfeiltasten bewegen sie, + und − vergrößern und verkleinern.",
  tracks: "Spuren",
  "tracks.0": "keine",
  "tracks.3600": "von 1 Stunde",
  "tracks.21600": "von 6 Stunden",
  "tracks.86400": "von 24 Stunden",
  "tracks.most": "Die Spuren der ersten {n} Knoten sind zu sehen.",
  move: "Knoten verschieben",
  "move.done": "Fertig",
  "move.hint": "Ziehen Sie einen Knoten an seinen Platz. Mit der Tastatur: mit Tab einen Knoten wählen, mit den Pfeiltasten verschieben (mit Umschalt in kleinen Schritten), Enter speichert, Escape bricht ab.",
  "move.reports": "{name} meldet seine Position selbst und kann nicht verschoben werden.",
  moved: "{name} wurde verschoben",
  placed: "{name} hat jetzt einen Platz",
  "moved.conflict": "Jemand anderes hat {name} inzwischen verschoben. Sein neuer Platz ist zu sehen.",
  without: "Knoten ohne Platz",
  put: "In die Mitte setzen: {name}",
  "put.short": "In die Mitte setzen",
  cluster: "{n} Knoten: {names}",
  "cluster.more": "{names} und {n} weitere",
  grid: "Gitter {length}",
  scale: "Maßstab in der Mitte der Karte: {length}",
  world: "Karte",
  plans: "Raumpläne",
  choose: "Karte oder Raumplan",
  compass: "NSOW",
  at: "Koordinaten",
  no_place: "Noch hat kein Knoten einen Platz",
  no_place_more: "Knoten, die eine Position melden, erscheinen hier. Sie können einem Knoten auch selbst einen Platz geben.",
};

const words: Record<Code, Record<MapKey, string>> = { en, fr, de };

/** The text for `key`, with the values replaced. */
export const mt = (key: MapKey, values: Record<string, string | number> = {}): string =>
  words[language.value][key].replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
