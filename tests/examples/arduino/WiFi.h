// SPDX-License-Identifier: BSD-3-Clause
// A Wi-Fi that the test switches.
#pragma once

#include "Arduino.h"

enum { WL_CONNECTED = 3, WL_DISCONNECTED = 6 };
enum { WIFI_STA = 1 };

struct Station {
  bool online = false;
  void mode(int) {}
  void setAutoReconnect(bool) {}
  void begin(const char *name, const char *) { std::cout << "joins " << name << std::endl; }
  int status() { return online ? WL_CONNECTED : WL_DISCONNECTED; }
  int RSSI() { return -61; }
  String macAddress() { return "24:0A:C4:00:01:10"; }
};
extern Station WiFi;

class WiFiClient {};
