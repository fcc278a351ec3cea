// SPDX-License-Identifier: BSD-3-Clause
/**
 * uPlot formats with the language of the browser when it is loaded. WebKit in the locale `C`, as on a
 * wall screen without one, names a language that `Intl` refuses: charts would not be loaded.
 */
try {
  new Intl.Locale(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}
