// SPDX-License-Identifier: BSD-3-Clause
// The name that it has on an ESP8266.
#include "WiFi.h"
