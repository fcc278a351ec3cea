# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the MQTT gateway."""

from typing import Final

from pyaiot.metrics import Metric

MQTT_CONNECTED: Final = Metric(
    "pyaiot_mqtt_connected", "gauge", "1: the MQTT broker has let the gateway in. 0: it tries."
)
MQTT_CONNECTS: Final = Metric(
    "pyaiot_mqtt_connects", "counter", "Times that the MQTT broker let the gateway in."
)
MQTT_BROKER_STARTS: Final = Metric(
    "pyaiot_mqtt_broker_starts",
    "counter",
    "Times that the MQTT broker that is brought along was started. More than one: it ended.",
)
MQTT_IGNORED: Final = Metric(
    "pyaiot_mqtt_messages_ignored",
    "counter",
    "Messages that were published under topics of no node, as far as the gateway sees them.",
)
MQTT_RETAINED_DROPPED: Final = Metric(
    "pyaiot_mqtt_retained_dropped",
    "counter",
    "Retained values of silent nodes that were dropped, because many were held.",
)
