# SPDX-License-Identifier: BSD-3-Clause
"""settings.py of the example, for the network of the test."""

from port import MQTT_PORT  # noqa: F401 - written by the test, for main.py

WIFI_NAME = "test"
WIFI_PASSWORD = "secret"
MQTT_HOST = "127.0.0.1"
MQTT_USER = None
MQTT_PASSWORD = None
NODE_ID = None
NODE_NAME = "My MicroPython board"
REPORT_S = 0.2
