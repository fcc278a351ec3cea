// SPDX-License-Identifier: BSD-3-Clause
/** The page: a connection feeds the state, and the view is a function of the state. */
import { render } from "preact";
import { config, isKept, isKiosk, loadConfig } from "./config";
import "./style.css";
import { connect } from "./store";
import { App } from "./ui/App";

async function start(): Promise<void> {
  const place = document.getElementById("app");
  if (!place) return;
  if (import.meta.env.MODE === "mock") await import("./mock");
  await loadConfig();
  document.title = config.title;
  if (isKiosk) document.documentElement.dataset.kiosk = "";
  render(<App />, place);
  connect();
  if (!import.meta.env.PROD) return;
  const { install, awaitServer } = await import("./install");
  if (isKept()) awaitServer();
  await install();
}

void start();
