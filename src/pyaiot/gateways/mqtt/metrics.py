# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the MQTT gateway."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pyaiot.gateways import metrics
from pyaiot.metrics import Metric, Sample

if TYPE_CHECKING:
    from pyaiot.gateways.mqtt.gateway import MqttGateway

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
    "Messages that the gateway received on topics that belong to no node.",
)
MQTT_RETAINED_DROPPED: Final = Metric(
    "pyaiot_mqtt_retained_dropped",
    "counter",
    "Retained values of offline nodes that were dropped at the limit of the gateway.",
)
MQTT_NOT_UNDERSTOOD: Final = Metric(
    "pyaiot_mqtt_foreign_not_understood",
    "counter",
    "Messages of foreign devices, and parts of their descriptions, that were not understood.",
)


def collect(mqtt: "MqttGateway", *, connects: int, logins_refused: int) -> Iterator[Sample]:
    """The metrics of an MQTT gateway."""
    yield from metrics.collect(mqtt.gateway, refused=mqtt.refused)
    yield MQTT_CONNECTED.of(mqtt.connected)
    yield MQTT_CONNECTS.of(connects)
    yield MQTT_LOGINS_REFUSED.of(logins_refused)
    yield MQTT_IGNORED.of(mqtt.gateway.rejections.ignored)
    yield MQTT_RETAINED_DROPPED.of(mqtt.retained.dropped)
    yield MQTT_NOT_UNDERSTOOD.of(mqtt.foreign.not_understood)
