// SPDX-License-Identifier: BSD-3-Clause
/** What the one who serves the page says about it: `dashboard.json`. */

export interface Config {
  title: string;
  version: string;
  logo: string;
  /** `ws://host:port/ws`; empty: where the page came from. `localhost` is the host of the page. */
  broker: string;
  camera: string;
  /** Hosts whose images may be shown; the policy of the page allows no others. */
  imageHosts: string[];
  tiles: string;
  floorPlan: string;
  /** South, west, north, east of the picture. */
  floorPlanBounds: number[];
  /** There is an HTTP API beside the page. */
  api: boolean;
}

export let config: Config = {
  title: "Pyaiot",
  version: "",
  logo: "",
  broker: "",
  camera: "",
  imageHosts: [],
  tiles: "",
  floorPlan: "",
  floorPlanBounds: [],
  api: false,
};

export async function loadConfig(): Promise<void> {
  try {
    const answer = await fetch("dashboard.json");
    if (answer.ok) config = { ...config, ...((await answer.json()) as Partial<Config>) };
  } catch {
    // The page is complete without.
  }
}

/** Where the broker is, for a WebSocket. */
export function brokerUrl(): string {
  const url = new URL(config.broker || "ws", document.baseURI);
  if (!config.broker) url.protocol = url.protocol.replace("http", "ws");
  else if (["localhost", "127.0.0.1", "[::1]"].includes(url.hostname)) url.hostname = location.hostname;
  return url.href;
}

/** Whether there may be an API to ask: beside the page, or at the broker that it was told. */
export const mayHaveApi = (): boolean => config.api || config.broker !== "";

/** Where the HTTP API of the broker is, with a slash at its end. An old broker has none. */
export function apiUrl(): string {
  if (config.api) return new URL("api/", document.baseURI).href;
  const url = new URL("../api/", brokerUrl().replace(/ws$/, "ws/"));
  url.protocol = url.protocol.replace("ws", "http");
  return url.href;
}

/** Whether an image of this address can be shown here. */
export function imageIsAllowed(address: string): boolean {
  try {
    const url = new URL(address); // what is no whole address is none of an image
    return url.origin === location.origin || (/^https?:$/.test(url.protocol) && config.imageHosts.includes(url.host));
  } catch {
    return false;
  }
}
