# SPDX-License-Identifier: BSD-3-Clause
"""Dialects of MQTT: the topics and payloads of devices that do not speak ours. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pyaiot.gateways.mqtt.base_topics import (
    DEFAULT_TOPICS,
    BaseTopics,
    check_base_topics,
)
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


class DialectSettings(NamedTuple):
    """What dialects are made from."""

    names: frozenset[str]
    """The dialects in use."""
    unix_time: Callable[[], float]
    """In seconds."""
    topics: BaseTopics


MakeDialects = Callable[[DialectSettings], Sequence[Dialect]]
"""Makes a dialect: more than one if it has several base topics that are apart."""

# One line for each dialect. A message is given to them in this order.
DIALECTS: Final[Mapping[str, MakeDialects]] = {
    "tasmota": lambda it: [TasmotaDialect(it.topics.tasmota)],
    "zigbee2mqtt": lambda it: [Zigbee2MqttDialect(base) for base in it.topics.zigbee2mqtt],
    "shelly": lambda _: [ShellyDialect()],
    "shelly-rpc": lambda _: [ShellyRpcDialect()],
    "homie": lambda it: [HomieDialect(base) for base in it.topics.homie],
    "sparkplug": lambda it: [SparkplugDialect(it.topics.sparkplug, unix_time=it.unix_time)],
    "homeassistant": lambda it: [
        HomeAssistantDialect(it.topics.homeassistant, other_dialects=it.names)
    ],
}


def new_dialects(
    names: Iterable[str],
    unix_time: Callable[[], float],
    mappings: Sequence[TopicMapping] = (),
    topics: BaseTopics = DEFAULT_TOPICS,
) -> Sequence[Dialect]:
    """The dialects with these names, and that of `mappings`, without any device.

    Raises `OperatorError` for a mapping or a base topic that is not valid.
    """
    check_base_topics(topics)
    settings = DialectSettings(frozenset(names), unix_time, topics)
    dialects = [
        each for name, make in DIALECTS.items() if name in settings.names for each in make(settings)
    ]
    return [MappingDialect(mappings), *dialects]
