# SPDX-License-Identifier: BSD-3-Clause
"""What is different for each network and each board. Change it before you copy it."""

WIFI_NAME = "my-network"
WIFI_PASSWORD = "my-password"

MQTT_HOST = "192.168.1.10"  # the machine that runs `aiot run --mqtt-listen ::`, or an MQTT broker
MQTT_PORT = 1886  # 1883 is usual elsewhere
MQTT_USER = None
MQTT_PASSWORD = None

NODE_ID = None  # None: the number of the chip. Else 1 to 64 letters, digits, "-" and "_".
NODE_NAME = "My MicroPython board"
REPORT_S = 5  # seconds between two temperatures
