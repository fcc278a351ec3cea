// SPDX-License-Identifier: BSD-3-Clause
/** Configuration from the server that serves the dashboard: `dashboard.json`. */

export interface Config {
  title: string;
  version: string;
  logo: string;
  /** `ws://host:port/ws`, of a cluster several, separated by commas; empty: the origin of the page. `localhost` stands
   * for the host of the page. */
  broker: string;
  camera: string;
  /** Hosts whose images may be shown; the content security policy allows no others. */
  imageHosts: string[];
  tiles: string;
  floorPlan: string;
  /** South, west, north, east of the picture. */
  floorPlanBounds: number[];
  /** The server of the page has the HTTP API. */
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

/** The page is a wall screen: it shows saved views in turn, and has no controls. */
export const isKiosk = typeof location === "object" && /[?&]kiosk\b/.test(location.search);

export async function loadConfig(): Promise<void> {
  try {
    const answer = await fetch("dashboard.json");
    if (answer.ok) config = { ...config, ...((await answer.json()) as Partial<Config>) };
  } catch {
    // The defaults apply.
  }
}

/** The page was opened without its server, from the files that the service worker keeps. */
export const isKept = (): boolean => !config.version && Boolean(navigator.serviceWorker?.controller);

const brokers = (): string[] => config.broker.split(",");
let failures = 0;

/** How many brokers there are, of which the page uses one at a time. */
export const brokerCount = (): number => brokers().length;

/** The broker does not answer: use the next one. */
export const nextBroker = (): void => void failures++;

/** URL of the WebSocket of the broker. */
export function brokerUrl(): string {
  const url = new URL(brokers()[failures % brokerCount()] || "ws", document.baseURI);
  if (!config.broker) url.protocol = url.protocol.replace("http", "ws");
  else if (["localhost", "127.0.0.1", "[::1]"].includes(url.hostname)) url.hostname = location.hostname;
  return url.href;
}

/** Whether there may be an HTTP API: at the origin of the page, or at the configured broker. */
export const mayHaveApi = (): boolean => config.api || config.broker !== "";

/** URL of the HTTP API of the broker, with a trailing slash. A legacy broker has none. */
export function apiUrl(): string {
  if (config.api) return new URL("api/", document.baseURI).href;
  const url = new URL("../api/", brokerUrl().replace(/ws$/, "ws/"));
  url.protocol = url.protocol.replace("ws", "http");
  return url.href;
}

/** Whether an image from this URL may be shown. */
export function imageIsAllowed(address: string): boolean {
  try {
    const url = new URL(address); // throws for a relative URL
    return url.origin === location.origin || (/^https?:$/.test(url.protocol) && config.imageHosts.includes(url.host));
  } catch {
    return false;
  }
}
