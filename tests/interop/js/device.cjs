// SPDX-License-Identifier: BSD-3-Clause
// A device of MQTT.js: node device.cjs PACKAGES PORT UID MQTT-VERSION
const { createRequire } = require("node:module");
const [packages, port, uid, version] = process.argv.slice(2);
const mqtt = createRequire(`${packages}/`)("mqtt");

const values = { led: "0", temperature: "23.5°C" };
const client = mqtt.connect({
  host: "127.0.0.1",
  port: Number(port),
  protocolVersion: Number(version),
});
const say = (topic, value) => client.publish(`node/${topic}`, JSON.stringify(value), { qos: 1 });
const tell = (resource) => say(`${uid}/${resource}`, { value: values[resource] });
const check = () => say("check", { id: uid });

client.on("connect", () => {
  client.subscribe(["gateway/check", `gateway/${uid}/#`], check);
  setInterval(() => tell("temperature"), 200);
});
client.on("message", (topic, payload) => {
  const [, , resource, verb] = topic.split("/");
  const text = payload.toString();
  if (topic === "gateway/check") check();
  else if (resource === "discover" && text === "resources") {
    say(`${uid}/resources`, Object.keys(values));
  } else if (resource === "discover") Object.keys(values).forEach(tell);
  else if (verb === "set" && resource in values) {
    values[resource] = text;
    tell(resource);
  }
});
client.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
