# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the MQTT gateway."""

from typing import Final

from pyaiot.metrics import Metric

MQTT_CONNECTED: Final = Metric(
    "pyaiot_mqtt_connected", "gauge", "1: connected to the MQTT broker. 0: reconnecting."
)
MQTT_CONNECTS: Final = Metric(
    "pyaiot_mqtt_connects", "counter", "Connections of the gateway that the MQTT broker accepted."
)
MQTT_LOGINS_REFUSED: Final = Metric(
    "pyaiot_mqtt_logins_refused",
    "counter",
    "Devices that the embedded MQTT broker refused or disconnected, for their user name, password,"
    " client id or another reason.",
)
MQTT_BROKER_STARTS: Final = Metric(
    "pyaiot_mqtt_broker_starts",
    "counter",
    "Starts of the embedded MQTT broker. More than one: it ended and was restarted.",
)
MQTT_IGNORED: Final = Metric(
    "pyaiot_mqtt_messages_ignored",
    "counter",
    "Messages on topics that belong to no node, as far as the gateway receives them.",
)
MQTT_RETAINED_DROPPED: Final = Metric(
    "pyaiot_mqtt_retained_dropped",
    "counter",
    "Retained values of offline nodes that were dropped at the limit of the gateway.",
)
