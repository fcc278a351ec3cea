// SPDX-License-Identifier: BSD-3-Clause
// The functions of the library WebSockets that our snippets call, with its parameters.
#pragma once

#include "Arduino.h"

class WebSocketsClient {
 public:
  void begin(const char *host, uint16_t port, const char *url = "/",
             const char *protocol = "arduino");
  void beginSSL(const char *host, uint16_t port, const char *url = "/",
                const char *fingerprint = "", const char *protocol = "arduino");
  void beginSslWithCA(const char *host, uint16_t port, const char *url = "/",
                      const char *authority = nullptr, const char *protocol = "arduino");
  void setExtraHeaders(const char *headers = nullptr);
  bool sendTXT(const char *payload, size_t length = 0);
  void loop();
};
