// SPDX-License-Identifier: BSD-3-Clause
// A request of the npm package `coap`: node coap_client.cjs PACKAGES PORT METHOD PATH [PAYLOAD]
// prints the code and the payload of the answer.
"use strict";
const path = require("node:path");
const [packages, port, method, pathname, payload] = process.argv.slice(2);
const coap = require(path.join(packages, "node_modules", "coap"));

const request = coap.request({ hostname: "127.0.0.1", port: Number(port), pathname, method });
request.on("response", (response) => {
  console.log(response.code, response.payload.toString());
  process.exit(0);
});
request.on("error", (error) => {
  console.log("error", error.message);
  process.exit(1);
});
if (payload !== undefined && payload.length > 1024) {
  request.setOption("Block1", Buffer.of(6)); // the first of blocks of 1,024 bytes
}
request.end(payload === undefined ? undefined : Buffer.from(payload));
