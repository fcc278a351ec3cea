# SPDX-License-Identifier: BSD-3-Clause
"""Decides which topics of foreign devices are received, and which dialects read them. Pure."""

from collections.abc import Sequence
from typing import Final

from pyaiot.gateways.mqtt.dialects.dialect import Dialect

FILTERS_MAX: Final = 150
"""Largest number of topic filters that descriptions of devices may add, one for each first level of
a topic. Further topics are not received; the log reports it."""
TOPICS_MAX: Final = 20_000
"""Largest number of topics whose dialects are cached. Beyond it they are looked up again."""
TOPIC_LENGTH_MAX: Final = 256
"""Longest topic whose dialects are cached, in characters."""


class ForeignFilters:
    """The topic filters of some dialects, and those that their devices added."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._dialects = dialects
        self._wanted: dict[str, None] = {}
        """First levels of topics that descriptions named and that are subscribed to."""
        self._named: dict[str, dict[str, None]] = {}
        """The names of the dialects whose descriptions named topics, by first level."""
        self._previous: tuple[str, bytes] | None = None
        self.changed()

    def changed(self) -> None:
        """The filters of a dialect changed."""
        dialects = self._dialects
        self._covered = frozenset(
            each.removesuffix("/#")
            for dialect in dialects
            for each in dialect.filters
            if each.endswith("/#") and each.count("/") == 1 and not each.startswith("+")
        )
        """First levels of topics that are received completely."""
        self._patterns = [
            each.split("/")
            for dialect in dialects
            for each in dialect.filters
            if each.partition("/")[0] not in self._covered
        ]
        self._open = {
            it: [each.split("/") for each in it.filters]
            for it in dialects
            if any(map(_is_open, it.filters))
        }
        self._readers_of: dict[str, tuple[Dialect, ...]] = {}
        """By topic, the most recent ones, at most `TOPICS_MAX`."""

    @property
    def all(self) -> tuple[str, ...]:
        """All topic filters to subscribe to."""
        of_dialects = tuple(each for dialect in self._dialects for each in dialect.filters)
        return (*of_dialects, *(f"{first}/#" for first in self._wanted))

    def readers(self, topic: str) -> Sequence[Dialect]:
        """The dialects that a topic may be of."""
        known = self._readers_of.get(topic)
        if known is not None:
            return known
        levels = topic.split("/")
        named = self._named.get(levels[0], {})
        readers = tuple(
            it
            for it in self._dialects
            if it.name in named or _begins(it, levels[0]) or self._is_of_open(it, levels)
        )
        if len(topic) <= TOPIC_LENGTH_MAX:
            if len(self._readers_of) >= TOPICS_MAX:
                self._readers_of.clear()
            self._readers_of[topic] = readers
        return readers

    def _is_of_open(self, dialect: Dialect, levels: Sequence[str]) -> bool:
        return any(_matches(it, levels) for it in self._open.get(dialect, ()))

    def covers(self, topic: str) -> bool:
        """Whether messages on this topic are received, also if no dialect understands them."""
        levels = topic.split("/")
        if levels[0] in self._covered or levels[0] in self._wanted:
            return True
        return any(_matches(each, levels) for each in self._patterns)

    def add(self, topic: str, dialect: Dialect) -> str | None:
        """Add a topic that a device named. Returns a new filter to subscribe to, empty if none is
        needed; None if the limit is reached."""
        first = topic.partition("/")[0]
        is_received = first in self._covered or first in self._wanted
        if not is_received and len(self._wanted) >= FILTERS_MAX:
            return None
        if dialect.name not in self._named.get(first, ()):
            self._named.setdefault(first, {})[dialect.name] = None
            self._readers_of.clear()
        if is_received:
            return ""
        self._wanted[first] = None
        return f"{first}/#"

    def is_copy(self, topic: str, payload: bytes) -> bool:
        """Whether a message repeats the previous one. An MQTT broker may send a message once for
        each filter that it matches (MQTT 3.1.1 section 3.3.5), in direct succession."""
        if self._previous != (topic, payload):
            self._previous = topic, payload
            return False
        levels = topic.split("/")
        count = (levels[0] in self._wanted) + sum(_matches(it, levels) for it in self._patterns)
        if count < 2:
            return False
        self._previous = None
        return True


def _is_open(pattern: str) -> bool:
    """Whether the first level of a topic filter is a wildcard."""
    return pattern.startswith("+")


def _begins(dialect: Dialect, first: str) -> bool:
    return any(it.partition("/")[0] == first for it in dialect.filters)


def _matches(pattern: Sequence[str], levels: Sequence[str]) -> bool:
    """Whether a topic filter matches a topic (MQTT 3.1.1 section 4.7)."""
    for index, level in enumerate(pattern):
        if level == "#":
            return True
        if index >= len(levels) or (level != "+" and level != levels[index]):
            return False
    return len(pattern) == len(levels)
