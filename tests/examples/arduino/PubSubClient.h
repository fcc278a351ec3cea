// SPDX-License-Identifier: BSD-3-Clause
// An MQTT client that prints its messages. As in the real one, a received message is in the buffer
// that the next publish overwrites.
#pragma once

#include <cstring>
#include <functional>
#include <vector>

#include "WiFi.h"

class PubSubClient {
 public:
  explicit PubSubClient(WiFiClient &) { live = this; }
  void setServer(const char *host, uint16_t port) {
    std::cout << "server " << host << " " << port << std::endl;
  }
  void setCallback(std::function<void(char *, uint8_t *, unsigned int)> call) { callback = call; }
  bool setBufferSize(uint16_t size) {
    buffer.assign(size, 0);
    return true;
  }
  bool connect(const char *id, const char *user, const char *) {
    std::cout << "connects as " << id << (user ? user : "") << std::endl;
    return isConnected = server;
  }
  bool connected() { return isConnected = isConnected && WiFi.online && server; }
  int state() { return -2; }
  bool loop() { return connected(); }
  bool subscribe(const char *topic) {
    std::cout << "subscribes " << topic << std::endl;
    return true;
  }
  bool publish(const char *topic, const char *payload) {
    // The real one counts 5 bytes of header, and drops what does not fit.
    if (strlen(topic) + strlen(payload) + 2 + 5 > buffer.size()) return false;
    const std::string line = std::string(topic) + " " + payload;
    buffer.assign(buffer.size(), '~');
    std::cout << line << std::endl;
    return true;
  }
  void receive(const std::string &topic, const std::string &payload) {
    char *place = buffer.data();
    memcpy(place, topic.c_str(), topic.size() + 1);
    memcpy(place + topic.size() + 1, payload.data(), payload.size());
    uint8_t *body = reinterpret_cast<uint8_t *>(place + topic.size() + 1);
    callback(place, body, payload.size());
  }

  bool server = true;
  static PubSubClient *live;

 private:
  std::function<void(char *, uint8_t *, unsigned int)> callback;
  std::vector<char> buffer = std::vector<char>(256);
  bool isConnected = false;
};
