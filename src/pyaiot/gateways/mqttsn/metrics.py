# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the MQTT-SN gateway."""

from typing import Final

from pyaiot.metrics import OTHER, Metric

MQTTSN_CLIENTS: Final = Metric(
    "pyaiot_mqttsn_clients", "gauge", "Clients that are connected, connecting or asleep."
)
MQTTSN_DATAGRAMS: Final = Metric(
    "pyaiot_mqttsn_datagrams", "counter", "Datagrams received, including dropped ones."
)
MQTTSN_REASONS: Final = (
    *("no packet", "over the rate of its client", "a CONNECT over the rate of its host"),
    *("over the rate of strangers", "too long for a client that said nothing but CONNECT"),
    *("QoS -1 over its rate", "QoS -1 without an MQTT broker", OTHER),
)
MQTTSN_DROPPED: Final = Metric(
    "pyaiot_mqttsn_dropped",
    "counter",
    "Datagrams that were dropped or not sent, by reason.",
    {"reason": MQTTSN_REASONS},
)
MQTTSN_MESSAGES_DROPPED: Final = Metric(
    "pyaiot_mqttsn_messages_dropped",
    "counter",
    "Messages to or from clients that were dropped: a full queue, or no MQTT broker.",
)
MQTTSN_CONNECTS: Final = Metric(
    "pyaiot_mqttsn_connects", "counter", "Connections of clients that the MQTT broker accepted."
)
MQTTSN_CONNECT_FAILURES: Final = Metric(
    "pyaiot_mqttsn_connect_failures",
    "counter",
    "Connections of clients to the MQTT broker that failed or were lost.",
)
MQTTSN_UNSENT: Final = Metric(
    "pyaiot_mqttsn_datagrams_unsent", "counter", "Datagrams that the operating system refused."
)
