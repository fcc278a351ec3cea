# SPDX-License-Identifier: BSD-3-Clause
"""Dialects of MQTT: the topics and payloads of devices that do not speak ours. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pyaiot.gateways.mqtt.dialects.dialect import Dialect
from pyaiot.gateways.mqtt.dialects.homeassistant import HomeAssistantDialect
from pyaiot.gateways.mqtt.dialects.homie import HomieDialect
from pyaiot.gateways.mqtt.dialects.mapping import MappingDialect
from pyaiot.gateways.mqtt.dialects.shelly import ShellyDialect
from pyaiot.gateways.mqtt.dialects.shelly_rpc import ShellyRpcDialect
from pyaiot.gateways.mqtt.dialects.sparkplug import SparkplugDialect
from pyaiot.gateways.mqtt.dialects.tasmota import TasmotaDialect
from pyaiot.gateways.mqtt.dialects.zigbee2mqtt import Zigbee2MqttDialect
from pyaiot.model.topic_mapping import TopicMapping

MakeDialect = Callable[[frozenset[str], Callable[[], float]], Dialect]
"""Takes the names of the dialects in use, and Unix time in seconds."""

# One line for each dialect. A message is given to them in this order.
DIALECTS: Final[Mapping[str, MakeDialect]] = {
    "tasmota": lambda _names, _time: TasmotaDialect(),
    "zigbee2mqtt": lambda _names, _time: Zigbee2MqttDialect(),
    "shelly": lambda _names, _time: ShellyDialect(),
    "shelly-rpc": lambda _names, _time: ShellyRpcDialect(),
    "homie": lambda _names, _time: HomieDialect(),
    "sparkplug": lambda _names, unix_time: SparkplugDialect(unix_time=unix_time),
    "homeassistant": lambda names, _time: HomeAssistantDialect(other_dialects=names),
}


def new_dialects(
    names: Iterable[str],
    unix_time: Callable[[], float],
    mappings: Sequence[TopicMapping] = (),
) -> Sequence[Dialect]:
    """The dialects with these names, and that of `mappings`, without any device.

    Raises `OperatorError` for a mapping that is not valid.
    """
    used = frozenset(names)
    dialects = [make(used, unix_time) for name, make in DIALECTS.items() if name in used]
    return [MappingDialect(mappings), *dialects]
