// SPDX-License-Identifier: BSD-3-Clause
// A node of Pyaiot over MQTT: it reports its Wi-Fi signal, and its LED can be switched.

#include <Arduino.h>
#ifdef ESP8266
#include <ESP8266WiFi.h>
#else
#include <WiFi.h>
#endif
#include <PubSubClient.h>

#include "settings.h"

const unsigned long CHECK_MS = 30000;  // interval of the sign of life
const unsigned long REPORT_MS = 5000;
const unsigned long RETRY_MS = 2000;
const uint16_t PACKET_MAX = 512;  // bytes; PubSubClient drops what is longer

WiFiClient network;
PubSubClient mqtt(network);
String uid;
bool led = false;
unsigned long checkedAt = 0;
unsigned long reportedAt = 0;
unsigned long triedAt = 0;

void publish(const String &topic, const String &json) {
  mqtt.publish(("node/" + topic).c_str(), json.c_str());
}

void report(const String &resource, const String &text) {
  publish(uid + "/" + resource, "{\"value\":\"" + text + "\"}");
}

void reportLed() { report("led", led ? "1" : "0"); }

void reportSignal() { report("signal", String(WiFi.RSSI()) + "dBm"); }

void reportAll() {
  report("name", NODE_NAME);
  report("os", "arduino");
  reportLed();
  reportSignal();
}

void check() { publish("check", "{\"id\":\"" + uid + "\"}"); }

void listResources() { publish(uid + "/resources", "[\"name\",\"os\",\"led\",\"signal\"]"); }

void setLed(bool on) {
  led = on;
  digitalWrite(LED_PIN, on ? LED_ON : !LED_ON);
}

void received(char *topicBytes, uint8_t *payload, unsigned int length) {
  // Copies: both stand in the buffer that the first publish() overwrites.
  const String topic(topicBytes);
  String text;
  for (unsigned int i = 0; i < length; i++) text += (char)payload[i];

  const String own = "gateway/" + uid;
  if (topic == "gateway/check") {
    check();
  } else if (topic == own + "/discover") {
    if (text == "resources") {
      listResources();
    } else {
      reportAll();
    }
  } else if (topic == own + "/led/set" && (text == "0" || text == "1")) {
    setLed(text == "1");
    reportLed();
  }
}

void connectMqtt() {
  if (!mqtt.connect(uid.c_str(), MQTT_USER, MQTT_PASSWORD)) {
    Serial.print("No MQTT broker, state ");
    Serial.println(mqtt.state());
    return;
  }
  Serial.println("Connected as " + uid);
  mqtt.subscribe("gateway/check");
  mqtt.subscribe(("gateway/" + uid + "/#").c_str());
  check();
  // Unasked, so that a gateway that knew us before we restarted asks for our values.
  listResources();
}

void setup() {
  Serial.begin(115200);
  pinMode(LED_PIN, OUTPUT);
  setLed(false);
  WiFi.mode(WIFI_STA);
  WiFi.setAutoReconnect(true);
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  uid = "esp-" + WiFi.macAddress();
  uid.replace(":", "");
  mqtt.setServer(MQTT_HOST, MQTT_PORT);
  mqtt.setCallback(received);
  mqtt.setBufferSize(PACKET_MAX);
}

void loop() {
  const unsigned long now = millis();
  if (!mqtt.connected()) {
    if (WiFi.status() == WL_CONNECTED && now - triedAt >= RETRY_MS) {
      triedAt = now;
      connectMqtt();
      checkedAt = reportedAt = now;
    }
    return;
  }
  mqtt.loop();
  if (now - checkedAt >= CHECK_MS) {
    checkedAt = now;
    check();
  }
  if (now - reportedAt >= REPORT_MS) {
    reportedAt = now;
    reportSignal();
  }
}
