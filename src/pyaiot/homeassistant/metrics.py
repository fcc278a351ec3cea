# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of what is published for Home Assistant."""

from typing import Final, get_args

from pyaiot.messages import ReceiptState
from pyaiot.metrics import Metric

CONNECTED: Final = Metric(
    "pyaiot_homeassistant_connected",
    "gauge",
    "1: connected to the MQTT broker of Home Assistant. 0: reconnecting.",
)
NODES: Final = Metric(
    "pyaiot_homeassistant_nodes", "gauge", "Nodes that are shown in Home Assistant."
)
NODES_EXCESS: Final = Metric(
    "pyaiot_homeassistant_nodes_excess",
    "gauge",
    "Nodes that are not shown in Home Assistant, because there are too many.",
)
PUBLISHED: Final = Metric(
    "pyaiot_homeassistant_published",
    "counter",
    "Messages that were published for Home Assistant.",
)
CONFLATED: Final = Metric(
    "pyaiot_homeassistant_readings_conflated",
    "counter",
    "Readings that were not published, because a later reading of the resource replaced them.",
)
COMMANDS: Final = Metric(
    "pyaiot_homeassistant_commands",
    "counter",
    "Commands of Home Assistant that ended, by their receipt.",
    {"receipt": get_args(ReceiptState)},
)
COMMANDS_REFUSED: Final = Metric(
    "pyaiot_homeassistant_commands_refused",
    "counter",
    "Commands of Home Assistant that name no entity, or have no valid payload.",
)
