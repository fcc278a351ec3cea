// SPDX-License-Identifier: BSD-3-Clause
// Requests of the npm package `coap`, one after the other from one port:
//     node coap_client.cjs PACKAGES PORT [METHOD PATH PAYLOAD]...
// prints the code and the payload of each answer.
"use strict";
const dgram = require("node:dgram");
const path = require("node:path");
const [packages, port, ...rest] = process.argv.slice(2);
const coap = require(path.join(packages, "node_modules", "coap"));
const socket = dgram.createSocket("udp4");
socket.bind(0, "127.0.0.1", next);

function next() {
  if (rest.length === 0) process.exit(0);
  const agent = new coap.Agent({ type: "udp4", socket });
  const [method, pathname, payload] = rest.splice(0, 3);
  const request = coap.request({ hostname: "127.0.0.1", port: Number(port), pathname, method, agent });
  request.on("response", (response) => {
    console.log(response.code, response.payload.toString());
    next();
  });
  request.on("error", (error) => {
    console.log("error", error.message);
    process.exit(1);
  });
  if (payload.length > 1024) {
    request.setOption("Block1", Buffer.of(6)); // the first of blocks of 1,024 bytes
  }
  request.end(Buffer.from(payload));
}
