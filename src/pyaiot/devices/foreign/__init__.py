# SPDX-License-Identifier: BSD-3-Clause
"""Simulated devices that speak the dialects of others over MQTT. Pure."""

import random
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pyaiot.devices.foreign.base import ForeignDevice
from pyaiot.devices.foreign.homeassistant import HomeAssistantNode
from pyaiot.devices.foreign.homie import HomieNode
from pyaiot.devices.foreign.shelly import ShellyNode
from pyaiot.devices.foreign.sparkplug import SparkplugNode
from pyaiot.devices.foreign.tasmota import TasmotaNode
from pyaiot.devices.foreign.zigbee2mqtt import Zigbee2MqttNode
from pyaiot.devices.node_config import NodeConfig

MakeNode: TypeAlias = Callable[[NodeConfig, random.Random], ForeignDevice]

# One line for each dialect: the words of `aiot node mqtt --dialect`.
FOREIGN_NODES: Final[Mapping[str, MakeNode]] = {
    "tasmota": TasmotaNode,
    "shelly": ShellyNode,
    "zigbee2mqtt": Zigbee2MqttNode,
    "homie": HomieNode,
    "sparkplug": SparkplugNode,
    "homeassistant": HomeAssistantNode,
}
