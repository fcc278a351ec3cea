// SPDX-License-Identifier: BSD-3-Clause
/** The page at `/`: a connection feeds the state, the view draws it. */
import { Connection } from "./connection.js";
import { ANSWER_S, newState, reduce, tick } from "./state.js";
import { View } from "./view.js";

const RATE_OVER_S = 3;

const clock = () => performance.now() / 1000;
const state = newState(Date.now() / 1000 - clock());
const counts = Array(RATE_OVER_S).fill(0); // messages in each of the last seconds
let commands = 0;

const url = new URL("ws", document.baseURI);
url.protocol = url.protocol.replace("http", "ws");

const connection = new Connection(url.href, {
  opened: (legacy) => take({ type: "opened", legacy }),
  messages(list) {
    counts[0] += list.length;
    list.forEach(take);
  },
  lost: () => take({ type: "lost" }),
  changed: () => view.linkChanged(),
});
const view = new View(state, connection, clock, { toggle, retry: () => connection.retry() });

function take(message) {
  try {
    reduce(state, message, clock());
  } catch (error) {
    console.warn("A message that cannot be used:", message, error);
  }
  view.schedule();
}

/** Ask for the other position. What is shown stays what the node said, until it says else. */
function toggle(resource) {
  const { node, endpoint, text, command } = resource;
  if (connection.phase !== "live" || node.left || command?.state === "pending") return;
  const [id, uid, payload] = [`page-${++commands}`, node.uid, text === "1" ? "0" : "1"];
  const said = connection.send(connection.legacy
    ? { type: "update", data: { uid, endpoint, payload } }
    : { type: "command", id, uid, endpoint, payload, timeout: ANSWER_S });
  if (said) take({ type: "asked", id, resource, payload });
}

setInterval(() => {
  tick(state, clock());
  view.tick(Math.round(counts.reduce((sum, count) => sum + count) / RATE_OVER_S));
  counts.pop();
  counts.unshift(0);
}, 1000);

connection.open();

try {
  const { title, version } = await (await fetch("info.json")).json();
  view.entitle(title, version);
} catch {
  // The page is complete without.
}
