// SPDX-License-Identifier: BSD-3-Clause
// A CoAP node of the npm package `coap`: node coap_node.cjs PACKAGES HOST
"use strict";
const path = require("node:path");
const [packages, host] = process.argv.slice(2);
const coap = require(path.join(packages, "node_modules", "coap"));

let led = "0";
let count = 0;
const observers = new Set();

function tell() {
  count += 1;
  for (const observer of observers) observer.write(`${count} lx`);
}

const server = coap.createServer((request, response) => {
  const at = request.url.split("?")[0];
  if (at === "/.well-known/core") {
    response.setOption("Content-Format", "application/link-format");
    response.end("</light>;obs,</led>,</long>");
  } else if (at === "/light") {
    if (request.headers.Observe === 0) {
      observers.add(response);
      response.on("finish", () => observers.delete(response));
      response.write(`${count} lx`);
    } else {
      response.end(`${count} lx`);
    }
  } else if (at === "/long") {
    response.end("0123456789".repeat(500));
  } else if (at === "/led" && request.method === "PUT") {
    led = request.payload.toString();
    response.statusCode = "2.04";
    response.end(`led:${led}`);
  } else if (at === "/led") {
    response.end(led);
  } else {
    response.statusCode = "4.04";
    response.end();
  }
});
server.listen(5683, host, () => {
  console.log("listening");
  process.stdin.on("data", tell);
  process.stdin.on("end", () => process.exit(0));
});
