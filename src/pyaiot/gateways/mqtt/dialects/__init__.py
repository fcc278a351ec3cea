# SPDX-License-Identifier: BSD-3-Clause
"""Dialects of MQTT: topics and payloads of devices that do not use those of Pyaiot. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Final, NamedTuple

from pyaiot.gateways.mqtt.base_topics import (
    DEFAULT_TOPICS,
    BaseTopics,
    check_base_topics,
    filters_of_tasmota,
)
from pyaiot.gateways.mqtt.dialect_access import SHELLY_SOURCE
from pyaiot.gateways.mqtt.dialects.dialect import Dialect
from pyaiot.gateways.mqtt.dialects.mapping import MappingDialect
from pyaiot.gateways.mqtt.dialects.on_demand import DialectOnDemand
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


def _on_demand(
    name: str, title: str, filters: Sequence[str], module: str, *arguments: object, **more: object
) -> Dialect:
    """`module`: the module and the class of the dialect, which is made with `arguments`."""
    path = f"pyaiot.gateways.mqtt.dialects.{module}"
    return DialectOnDemand(name, title, filters, lambda: resolve_name(path)(*arguments, **more))


def _tasmota(it: DialectSettings) -> Sequence[Dialect]:
    topics = it.topics.tasmota
    filters = (*filters_of_tasmota(topics), "tasmota/discovery/#")
    return [_on_demand("tasmota", "Tasmota", filters, "tasmota:TasmotaDialect", topics)]


def _zigbee2mqtt(it: DialectSettings) -> Sequence[Dialect]:
    words = "zigbee2mqtt", "Zigbee2MQTT"
    return [
        _on_demand(*words, (f"{base}/#",), "zigbee2mqtt:Zigbee2MqttDialect", base)
        for base in it.topics.zigbee2mqtt
    ]


def _shelly(_: DialectSettings) -> Sequence[Dialect]:
    return [_on_demand("shelly", "Shelly", ("shellies/#",), "shelly:ShellyDialect")]


def _shelly_rpc(_: DialectSettings) -> Sequence[Dialect]:
    filters = ("+/online", "+/events/rpc", "+/status/#", f"{SHELLY_SOURCE}/+/rpc")
    return [_on_demand("shelly-rpc", "Shelly", filters, "shelly_rpc:ShellyRpcDialect")]


def _homie(it: DialectSettings) -> Sequence[Dialect]:
    return [
        _on_demand("homie", "Homie", (f"{base}/#",), "homie:HomieDialect", base)
        for base in it.topics.homie
    ]


def _sparkplug(it: DialectSettings) -> Sequence[Dialect]:
    groups = it.topics.sparkplug
    filters = tuple(f"spBv1.0/{group}/#" for group in groups) or ("spBv1.0/#",)
    words = "sparkplug", "Sparkplug B"
    path = "sparkplug:SparkplugDialect"
    return [_on_demand(*words, filters, path, groups, unix_time=it.unix_time)]


def _homeassistant(it: DialectSettings) -> Sequence[Dialect]:
    prefixes = it.topics.homeassistant
    filters = tuple(f"{prefix}/#" for prefix in prefixes)
    words = "homeassistant", "Home Assistant discovery"
    path = "homeassistant:HomeAssistantDialect"
    return [_on_demand(*words, filters, path, prefixes, other_dialects=it.names)]


# One line for each dialect. Messages are offered to them in this order.
DIALECTS: Final[Mapping[str, MakeDialects]] = {
    "tasmota": _tasmota,
    "zigbee2mqtt": _zigbee2mqtt,
    "shelly": _shelly,
    "shelly-rpc": _shelly_rpc,
    "homie": _homie,
    "sparkplug": _sparkplug,
    "homeassistant": _homeassistant,
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
