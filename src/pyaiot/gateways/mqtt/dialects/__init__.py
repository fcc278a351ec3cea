# SPDX-License-Identifier: BSD-3-Clause
"""Dialects of MQTT: topics and payloads of devices that do not use those of Pyaiot. Pure."""

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
    """The settings from which dialects are made."""

    names: frozenset[str]
    """The dialects in use."""
    unix_time: Callable[[], float]
    """In seconds."""
    topics: BaseTopics


MakeDialects = Callable[[DialectSettings], Sequence[Dialect]]
"""Makes the instances of a dialect: one for each base topic if these do not share devices."""

# One line for each dialect. Messages are offered to them in this order.
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
    """Create the dialects with these names, and one for `mappings`. They have no devices yet.
    Raises `OperatorError` for an invalid mapping or base topic."""
    check_base_topics(topics)
    settings = DialectSettings(frozenset(names), unix_time, topics)
    dialects = [
        each for name, make in DIALECTS.items() if name in settings.names for each in make(settings)
    ]
    return [MappingDialect(mappings), *dialects]
