// SPDX-License-Identifier: BSD-3-Clause
/**
 * Keeps the built files of the dashboard in the browser, so that it opens without a network and says
 * that it is offline. It keeps nothing else: every other request, above all of the API, WebSockets
 * and sign-in, goes to the server as if there were no service worker.
 *
 * The build replaces the constants in capitals.
 */
const VERSION = "%VERSION%"; // another one for each build
const ENTRY = "%ENTRY%"; // the script that the page of this build loads
const FILES = "%FILES%".split(" ");
const HOME = new URL("./", self.location.href).href;
// Dashboards below several paths of one host share its caches.
const OURS = `dashboard ${HOME} `;
const NAME = OURS + VERSION;

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(replace()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  url.search = url.hash = "";
  if (request.method !== "GET" || !url.href.startsWith(HOME)) return;
  const path = url.href.slice(HOME.length);
  if (request.mode === "navigate" ? path === "" : path === "favicon.svg") event.respondWith(fromServer(request, path || "./"));
  else if (path.startsWith("assets/")) event.respondWith(fromCache(request));
});

/** All files or none: without one of them, the worker before this one stays. */
async function fill() {
  const cache = await caches.open(NAME);
  try {
    await Promise.all(
      FILES.map(async (file) => {
        // A proxy may redirect to the page of its own sign-in, or answer with it.
        const answer = await fetch(new URL(file, HOME), { cache: "no-cache", redirect: "error" });
        if (!answer.ok || (file === "./" && !(await answer.clone().text()).includes(ENTRY))) throw new Error(`${file} is not of this build`);
        await cache.put(new URL(file, HOME), answer);
      }),
    );
  } catch (error) {
    await caches.delete(NAME);
    throw error;
  }
  await self.skipWaiting();
}

async function replace() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OURS) && name !== NAME).map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** What the server answers, whatever it is; without an answer, the file that was kept. */
async function fromServer(request, path) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = path === "./" ? path : "icons/icon.svg";
    const found = await (await caches.open(NAME)).match(new URL(kept, HOME));
    if (found) return found;
    throw error;
  }
}

/** The name of an asset changes with its content. Parts that are loaded later are kept when they are. */
async function fromCache(request) {
  const cache = await caches.open(NAME);
  const found = await cache.match(request, { ignoreVary: true });
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok && !answer.redirected) await cache.put(request, answer.clone());
  return answer;
}
