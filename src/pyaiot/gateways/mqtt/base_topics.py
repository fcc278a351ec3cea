# SPDX-License-Identifier: BSD-3-Clause
"""The configured base topics of each dialect. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pyaiot.errors import OperatorError

TASMOTA_FULL_TOPIC: Final = "%prefix%/%topic%/"
ZIGBEE2MQTT_BASE: Final = "zigbee2mqtt"
HOMIE_BASE: Final = "homie"
DISCOVERY_PREFIX: Final = "homeassistant"
BASES_MAX: Final = 8
"""Most base topics of one dialect. Further ones are refused."""

_BASE: Final = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,3}")
_LEVEL: Final = re.compile(r"[A-Za-z0-9_.-]+|%prefix%|%topic%")
_OF_NODES: Final = frozenset({"node", "gateway", "pyaiot"})
_FIXED: Final = ("tele", "stat", "cmnd", "tasmota", "shellies", "spBv1.0")
"""First levels of topics that are fixed: they cannot be base topics."""


class BaseTopics(NamedTuple):
    """The base topics of the dialects. The defaults are those of their documentation."""

    tasmota: tuple[str, ...] = (TASMOTA_FULL_TOPIC,)
    """The `FullTopic` of devices, of levels, `%prefix%` and `%topic%`."""
    zigbee2mqtt: tuple[str, ...] = (ZIGBEE2MQTT_BASE,)
    homie: tuple[str, ...] = (HOMIE_BASE,)
    sparkplug: tuple[str, ...] = ()
    """Group ids; empty: all groups."""
    homeassistant: tuple[str, ...] = (DISCOVERY_PREFIX,)
    """Discovery prefixes."""


DEFAULT_TOPICS: Final = BaseTopics()


def filters_of_tasmota(full_topics: Sequence[str]) -> tuple[str, ...]:
    """The topic filters of devices with these FullTopics."""
    return tuple(
        each
        for full_topic in full_topics
        for each in _filters_of(full_topic.removesuffix("/") + "/")
    )


def _filters_of(full_topic: str) -> tuple[str, ...]:
    if full_topic == TASMOTA_FULL_TOPIC:
        return ("tele/#", "stat/#")
    it = full_topic.replace("%topic%", "+")
    return tuple(f"{it.replace('%prefix%', prefix)}+" for prefix in ("tele", "stat"))


def check_base_topics(topics: BaseTopics) -> None:
    """Raises `OperatorError` for base topics that are invalid or collide with those of another
    dialect."""
    for full_topic in topics.tasmota:
        _check_full_topic(full_topic)
    for group in topics.sparkplug:
        if not group or len(group) > 128 or {"/", "+", "#"} & set(group) or not group.isprintable():
            raise OperatorError(f"mqtt.sparkplug_groups: {group!r} is not a group id.")
    named = list(_named(topics))
    for setting, base in named:
        if not _BASE.fullmatch(base) or base.partition("/")[0] in _OF_NODES:
            raise OperatorError(
                f"mqtt.{setting}: {base!r} is not a base topic: use one to four levels of letters,"
                " digits, _, - and dots, other than node and gateway, as in home/zigbee."
            )
    for setting, several in zip(BaseTopics._fields, topics, strict=True):
        if len(several) > BASES_MAX:
            raise OperatorError(f"mqtt: at most {BASES_MAX} base topics of {setting} are possible.")
    fixed = [("", base) for base in _FIXED]
    for index, (setting, base) in enumerate(named):
        for _, other in (*named[:index], *fixed):
            if f"{base}/".startswith(f"{other}/") or f"{other}/".startswith(f"{base}/"):
                raise OperatorError(
                    f"mqtt.{setting}: {base} and {other} are topics of two dialects: choose another"
                    " base topic."
                )


def _named(topics: BaseTopics) -> Iterator[tuple[str, str]]:
    yield from (("zigbee2mqtt_base_topics", it) for it in topics.zigbee2mqtt)
    yield from (("homie_base_topics", it) for it in topics.homie)
    yield from (("homeassistant_prefixes", it) for it in topics.homeassistant)


def _check_full_topic(full_topic: str) -> None:
    levels = full_topic.removesuffix("/").split("/")
    is_complete = levels.count("%prefix%") == 1 and levels.count("%topic%") == 1
    if not is_complete or len(levels) > 6 or not all(map(_LEVEL.fullmatch, levels)):
        raise OperatorError(
            f"mqtt.tasmota_full_topics: {full_topic!r} is not a FullTopic of"
            " Tasmota: it needs %prefix% and %topic% as levels, as in home/%topic%/%prefix%/."
        )
    if levels[0] in _OF_NODES:
        raise OperatorError(
            f"mqtt.tasmota_full_topics: {full_topic!r} begins with a reserved level."
        )
