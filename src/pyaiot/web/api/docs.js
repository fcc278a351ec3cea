// SPDX-License-Identifier: BSD-3-Clause
// "Try it" on /api/docs: each form sends its request with the rights of the signed-in user.
"use strict";

const BYTES_MAX = 64 * 1024; // of an answer that is shown; an export or a stream may have no end
const WAIT_MS = 10000;

// The theme that was chosen in the dashboard.
try {
  const theme = JSON.parse(localStorage.getItem("pyaiot.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is disabled: the theme of the system.
}

/** The URL and the headers that the fields of a form give. Empty fields are left out. */
function requestOf(form) {
  const headers = {};
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("[data-in]")) {
    const value = field.value.trim();
    if (field.dataset.in === "path") {
      path = path.replace(`{${field.name}}`, encodeURIComponent(value));
    } else if (value !== "" && field.dataset.in === "query") {
      query.append(field.name, value);
    } else if (value !== "") {
      headers[field.name] = value;
    }
  }
  const body = form.elements.namedItem("body");
  if (body) headers["Content-Type"] = form.elements.namedItem("content-type").value;
  const search = query.toString();
  return { url: path + (search && `?${search}`), headers, body: body ? (body.files ? body.files[0] : body.value) : undefined };
}

/** The beginning of a body as text, and whether there is more. */
async function beginningOf(response) {
  const reader = response.body ? response.body.getReader() : null;
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  const ends = Date.now() + WAIT_MS;
  while (reader) {
    const timeout = new Promise((resolve) => setTimeout(resolve, ends - Date.now(), null));
    const next = await Promise.race([reader.read(), timeout]);
    if (next !== null && next.done) return [text, false];
    if (next !== null) {
      text += decoder.decode(next.value, { stream: true });
      size += next.value.length;
    }
    if (next === null || size >= BYTES_MAX) {
      void reader.cancel();
      return [text, true];
    }
  }
  return [text, false];
}

function show(output, line, kind, text) {
  const status = document.createElement("p");
  status.textContent = line;
  status.className = kind;
  output.replaceChildren(status);
  if (text) {
    const body = document.createElement("pre");
    body.tabIndex = 0;
    body.textContent = text;
    output.append(body);
  }
}

async function send(form) {
  const output = form.nextElementSibling;
  const button = form.querySelector("button");
  const { url, headers, body } = requestOf(form);
  button.disabled = true;
  const began = performance.now();
  try {
    const response = await fetch(url, { method: form.dataset.method, headers, body });
    const [text, more] = await beginningOf(response);
    const kind = response.headers.get("Content-Type") || "";
    let shown = text;
    if (kind.includes("json") && !more) {
      try {
        shown = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        shown = text; // several documents, one a line
      }
    }
    const took = Math.round(performance.now() - began);
    show(
      output,
      `${form.dataset.method} ${url}: ${response.status} ${response.statusText}, ${took} ms`,
      response.ok ? "ok" : "failed",
      more ? `${shown}\n… (the rest is not shown)` : shown,
    );
  } catch (error) {
    show(output, `${form.dataset.method} ${url}: ${error.message}`, "failed", "");
  }
  button.disabled = false;
}

for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(form);
  });
}
