// SPDX-License-Identifier: BSD-3-Clause
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const FIRST_LOAD_MAX = 48_000; // bytes, as gzip makes them
const LAZY_CHUNK_MAX = 145_000;

/**
 * Leaflet asks at start whether `innerHTML` makes SVG. The policy of the page refuses `innerHTML`,
 * so it asks by making one. Fails when Leaflet says it in other words.
 */
function leafletWithoutMarkup(): Plugin {
  return {
    name: "leaflet-without-markup",
    transform(code, id) {
      if (!/leaflet-src(\.esm)?\.js$/.test(id.split("?")[0])) return null;
      const probe = "div.innerHTML = '<svg/>';";
      if (!code.includes(probe)) throw new Error("Leaflet's test for SVG is another: look at it again");
      return { code: code.replace(probe, "div.appendChild(svgCreate('svg'));"), map: null };
    },
  };
}

/** Sizes as they travel; too much ends the build. */
function budget(): Plugin {
  return {
    name: "budget",
    // What is written: the list of what lazy parts need comes into a chunk after it is generated.
    writeBundle(_options, bundle) {
      const sizes = new Map<string, number>();
      for (const [name, item] of Object.entries(bundle))
        sizes.set(name, gzipSync(item.type === "chunk" ? item.code : item.source, { level: 9 }).length);
      const first = new Set<string>(["index.html"]);
      const visit = (name: string): void => {
        const item = bundle[name];
        if (first.has(name) || item?.type !== "chunk") return;
        first.add(name);
        item.viteMetadata?.importedCss.forEach((css) => first.add(css));
        item.imports.forEach(visit);
      };
      for (const item of Object.values(bundle)) if (item.type === "chunk" && item.isEntry) visit(item.fileName);
      const total = [...first].reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
      console.log(`first load: ${total} bytes gzip of ${FIRST_LOAD_MAX}`);
      if (total > FIRST_LOAD_MAX) throw new Error(`The first load has ${total} bytes of ${FIRST_LOAD_MAX}`);
      for (const [name, size] of sizes)
        if (!first.has(name) && size > LAZY_CHUNK_MAX) throw new Error(`${name} has ${size} bytes of ${LAZY_CHUNK_MAX}`);
    },
  };
}

/** The service worker, with the files that the page needs to open in each language. */
function serviceWorker(): Plugin {
  return {
    name: "service-worker",
    generateBundle(_options, bundle) {
      const entry = Object.values(bundle).find((item) => item.type === "chunk" && item.isEntry)!;
      const files = new Set<string>();
      const visit = (name: string): void => {
        const item = bundle[name];
        if (files.has(name) || item?.type !== "chunk") return;
        files.add(name);
        item.viteMetadata?.importedCss.forEach((css) => files.add(css));
        item.imports.forEach(visit);
      };
      visit(entry.fileName);
      for (const item of Object.values(bundle))
        if (item.type === "chunk" && /\/(i18n\/(de|fr)|install)\.ts$/.test(item.facadeModuleId ?? "")) visit(item.fileName);
      const source = readFileSync("service-worker.js", "utf8");
      const version = createHash("sha256");
      for (const text of [source, readFileSync("index.html", "utf8"), ...Object.keys(bundle).sort()]) version.update(`${text}\0`);
      const code = source
        .replace("%VERSION%", version.digest("hex").slice(0, 16))
        .replace("%ENTRY%", entry.fileName)
        .replace("%FILES%", ["./", "icons/icon.svg", ...files].join(" "));
      this.emitFile({ type: "asset", fileName: "service-worker.js", source: code });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [leafletWithoutMarkup(), serviceWorker(), budget()],
  build: {
    outDir: process.env.PYAIOT_PAGE_DIR ?? "dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // data: addresses are not allowed by the policy
    // Styles of lazy parts are loaded before them; their scripts import each other.
    modulePreload: { polyfill: false, resolveDependencies: () => [] },
    reportCompressedSize: false,
    license: { fileName: "licenses.md" },
  },
  test: { include: ["tests/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
