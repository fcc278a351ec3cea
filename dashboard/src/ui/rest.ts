// SPDX-License-Identifier: BSD-3-Clause
/** Work that can wait until the page is no longer scrolled. */
const REST_MS = 120;

const waiting = new Set<() => void>();
let timer = 0;

addEventListener(
  "scroll",
  () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      timer = 0;
      for (const act of waiting) act();
      waiting.clear();
    }, REST_MS);
  },
  { passive: true },
);

/** Act now, or when the scroll has come to rest, unless the returned function is called before. */
export function atRest(act: () => void): () => void {
  if (timer) waiting.add(act);
  else act();
  return () => waiting.delete(act);
}
