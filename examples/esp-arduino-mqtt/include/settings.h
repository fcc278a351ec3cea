// SPDX-License-Identifier: BSD-3-Clause
// What is different for each network and each board. Change it before you flash it.
#pragma once

#define WIFI_NAME "my-network"
#define WIFI_PASSWORD "my-password"

// The machine that runs `aiot run --mqtt-listen ::`, or another MQTT broker, where 1883 is usual.
#define MQTT_HOST "192.168.1.10"
#define MQTT_PORT 1886
#define MQTT_USER nullptr
#define MQTT_PASSWORD nullptr

#define NODE_NAME "My ESP board"

// The LED of most boards. On an ESP8266 it is on when the pin is low.
#define LED_PIN 2
#ifdef ESP8266
#define LED_ON LOW
#else
#define LED_ON HIGH
#endif
