// SPDX-License-Identifier: BSD-3-Clause
/** Registers the service worker, which keeps the built files, so that the page opens without a network. */

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

const CHECK_MS = 5000;

/** Browsers have service workers over TLS and on `localhost` only; elsewhere there is nothing to do. */
export async function install(): Promise<void> {
  if (!isSecureContext || !("serviceWorker" in navigator)) return;
  const url = new URL("service-worker.js", document.baseURI).href;
  const trusted = (window as { trustedTypes?: TrustedTypes }).trustedTypes;
  const policy = trusted?.createPolicy("service-worker", { createScriptURL: () => url });
  try {
    await navigator.serviceWorker.register(policy?.createScriptURL("") ?? url, { updateViaCache: "none" });
  } catch (error) {
    // Such as for a certificate that the browser does not trust. The page works without it.
    console.info("The dashboard is not kept for use without a network:", error);
  }
}

/** The page was opened without the server: load it again as soon as the server answers. */
export function awaitServer(): void {
  const check = async () => {
    const answer = await fetch("dashboard.json", { cache: "no-store" }).catch(() => null);
    if (answer?.ok || answer?.status === 401) location.reload();
  };
  setInterval(() => void check(), CHECK_MS);
  addEventListener("online", () => void check());
}
