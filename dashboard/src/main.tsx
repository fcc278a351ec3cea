// SPDX-License-Identifier: BSD-3-Clause
/** The page: a connection feeds the state, and the view is a function of the state. */
import { render } from "preact";
import { config, isKept, isKiosk, loadConfig } from "./config";
import "./style.css";
import { connect, second, state } from "./store";
import { App } from "./ui/App";

/** With more nodes, the page subscribes to the readings that it shows. */
const FLEET = 300;

async function start(): Promise<void> {
  const place = document.getElementById("app");
  if (!place) return;
  if (import.meta.env.MODE === "mock") await import("./mock");
  await loadConfig();
  document.title = config.title;
  if (isKiosk) document.documentElement.dataset.kiosk = "";
  render(<App />, place);
  connect();
  void import("./ui/validity").then((it) => it.listenToInvalid());
  second.subscribe(() => {
    if (state.nodes.size > FLEET && !state.legacy) void import("./narrow").then((it) => it.begin());
  });
  if (!import.meta.env.PROD) return;
  const { install, awaitServer } = await import("./install");
  if (isKept()) awaitServer();
  await install();
}

void start();
