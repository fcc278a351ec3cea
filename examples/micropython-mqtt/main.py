# SPDX-License-Identifier: BSD-3-Clause
"""Starts with the board: Wi-Fi, then MQTT, again and again."""

import time

import board
import settings
from node import Node
from umqtt.simple import MQTTClient

RETRY_S = 2
KEEPALIVE_S = 60


def new_node():
    uid = settings.NODE_ID or board.chip_id()
    client = MQTTClient(
        uid,
        settings.MQTT_HOST,
        port=settings.MQTT_PORT,
        user=settings.MQTT_USER,
        password=settings.MQTT_PASSWORD,
        keepalive=KEEPALIVE_S,
    )
    read = {
        "name": lambda: settings.NODE_NAME,
        "os": lambda: "micropython",
        "board": lambda: board.NAME,
        "led": board.led,
        "temperature": lambda: "%.1f°C" % board.temperature(),
    }
    return Node(uid, client, read, {"led": board.set_led}, settings.REPORT_S, board.is_online)


while True:
    try:
        board.go_online(settings.WIFI_NAME, settings.WIFI_PASSWORD)
        print("Wi-Fi is there; connecting to", settings.MQTT_HOST)
        new_node().run()
    except Exception as error:  # umqtt has many names for a lost connection, also IndexError
        print("Not connected:", repr(error), "- trying again")
    time.sleep(RETRY_S)
