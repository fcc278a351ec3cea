# SPDX-License-Identifier: BSD-3-Clause
"""The topics of Tasmota devices by their `FullTopic`, from the settings or from discovery. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.base_topics import TASMOTA_FULL_TOPIC
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICES_MAX,
    LEVEL_LENGTH_MAX,
    NAMES_MAX,
    is_topic,
)

PREFIXES: Final = ["cmnd", "stat", "tele"]
"""The default prefixes, in the order of discovery."""
OWN_TOPICS_MAX: Final = 2 * DEVICES_MAX
"""Largest number of topics from discovery, two for each device. Beyond it, the FullTopic of a
device is not understood."""


class TasmotaMessage(NamedTuple):
    """The device and the message that a topic names."""

    prefix: str
    """`stat` or `tele`, also if the device uses other prefixes."""
    device: str
    """Its topic."""
    what: str
    """`STATE`, `POWER1`."""
    commands: str
    """Prefix of the topics of its commands."""


class TasmotaTopics:
    """Finds the device of a topic."""

    def __init__(self, full_topics: Sequence[str] = (TASMOTA_FULL_TOPIC,)) -> None:
        self._forms = [_Form(it) for it in full_topics]
        self._own: dict[str, tuple[str, str, str]] = {}
        """Prefix, device and command prefix, by all levels except the last, of devices with a
        FullTopic from discovery."""
        self._known: dict[str, TasmotaMessage] = {}
        """The topics that were read last, at most `NAMES_MAX`."""

    def read(self, topic: str) -> TasmotaMessage | None:
        """The message; None if the topic is not a topic of Tasmota."""
        known = self._known.get(topic)
        if known is not None:
            return known
        found = self._find(topic)
        if found is not None:
            if len(self._known) >= NAMES_MAX:
                self._known.clear()
            self._known[topic] = found
        return found

    def _find(self, topic: str) -> TasmotaMessage | None:
        before, _, what = topic.rpartition("/")
        own = self._own.get(before)
        if own is not None:
            return TasmotaMessage(own[0], own[1], what, own[2])
        for form in self._forms:
            found = form.pattern.fullmatch(before)
            if found is not None:
                name = found["topic"]
                return TasmotaMessage(found["prefix"], name, what, form.commands(name))
        return None

    def discovered(self, topic: str, config: Mapping[str, Any]) -> tuple[str, list[str]]:
        """The command prefix of a device and the topics to subscribe to, from its discovery
        message. Raises `ProtocolError` for a FullTopic that is not understood."""
        full_topic, prefixes = config.get("ft"), config.get("tp")
        if prefixes == PREFIXES:
            for form in self._forms:
                if form.full_topic == full_topic:
                    return form.commands(topic), []
        if not isinstance(full_topic, str) or "%prefix%" not in full_topic:
            raise ProtocolError("its FullTopic has no %prefix%")
        if not isinstance(prefixes, list) or len(prefixes) != len(PREFIXES):
            raise ProtocolError("its prefixes are not three words")
        commands, status, telemetry = (_whole(full_topic, it, topic, config) for it in prefixes)
        if len({commands, status, telemetry}) != len(PREFIXES):
            raise ProtocolError("two of its prefixes are the same")
        if len(self._own) + 2 > OWN_TOPICS_MAX and status not in self._own:
            raise ProtocolError(f"discovery named {OWN_TOPICS_MAX} topics already")
        self._known.clear()
        self._own[status] = "stat", topic, f"{commands}/"
        self._own[telemetry] = "tele", topic, f"{commands}/"
        return f"{commands}/", [f"{status}/RESULT", f"{telemetry}/STATE"]


class _Form:
    """One configured FullTopic."""

    def __init__(self, full_topic: str) -> None:
        self.full_topic = full_topic if full_topic.endswith("/") else f"{full_topic}/"
        levels = self.full_topic.removesuffix("/").split("/")
        groups = {
            "%prefix%": "(?P<prefix>tele|stat)",
            "%topic%": f"(?P<topic>[^/]{{1,{LEVEL_LENGTH_MAX}}})",
        }
        self.pattern = re.compile("/".join(groups.get(it, re.escape(it)) for it in levels))

    def commands(self, topic: str) -> str:
        return self.full_topic.replace("%prefix%", "cmnd").replace("%topic%", topic)


def _whole(full_topic: str, prefix: object, topic: str, config: Mapping[str, Any]) -> str:
    """The topics of a device with a prefix, without the last level."""
    whole = full_topic
    for placeholder, value in (
        ("%prefix%", prefix),
        ("%topic%", topic),
        ("%hostname%", config.get("hn")),
        ("%id%", config.get("mac")),
    ):
        if placeholder in whole:
            if not isinstance(value, str) or not value or "/" in value or "%" in value:
                raise ProtocolError(f"its discovery does not state {placeholder}")
            whole = whole.replace(placeholder, value)
    whole = whole.removesuffix("/")
    if "%" in whole or not is_topic(whole):
        raise ProtocolError("its FullTopic is not a topic that a foreign device may name")
    return whole
