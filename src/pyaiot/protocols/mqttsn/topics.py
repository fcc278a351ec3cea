# SPDX-License-Identifier: BSD-3-Clause
"""Topic names, topic filters, and topic ids (6.5, 6.7). Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from pyaiot.protocols.mqttsn.numbers import (
    SHORT_TOPIC_BYTES,
    TOPIC_ID_MAX,
    TOPIC_ID_MIN,
    TopicIdType,
)
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES, Account

TOPIC_BYTES_MAX: Final = 1024
"""UTF-8 bytes of a topic or topic filter. A longer one is invalid. MQTT allows 65,535, which does
not fit into a datagram of a node."""


def is_topic(name: str) -> bool:
    """Whether it is a valid topic name (MQTT 3.1.1 section 4.7)."""
    return is_filter(name) and "+" not in name and "#" not in name


_SPACE: Final = re.compile("[\\0- \\x7f]")


def is_filter(text: str) -> bool:
    """Whether it is a valid topic filter (MQTT 3.1.1 section 4.7.1)."""
    if not text or "\0" in text or len(text.encode(errors="replace")) > TOPIC_BYTES_MAX:
        return False
    if "+" not in text and "#" not in text:
        return True
    levels = text.split("/")
    if any("+" in level and level != "+" for level in levels):
        return False
    return "#" not in text or (text.count("#") == 1 and levels[-1] == "#")


def has_spaces(text: str) -> bool:
    """Whether it has a space or control character: nats-server closes a connection for these."""
    return _SPACE.search(text) is not None


def is_command(topic: str) -> bool:
    """Whether it is `gateway/<id>/<resource>/set` (legacy protocol, section 4)."""
    return topic.startswith("gateway/") and topic.endswith("/set")


def has_wildcard(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1 section 4.7. A leading wildcard does not match topics that begin with `$`."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def short_topic(topic_id: int) -> str | None:
    """The short topic name in a topic id; None if it is not UTF-8."""
    try:
        return topic_id.to_bytes(SHORT_TOPIC_BYTES, "big").decode()
    except UnicodeDecodeError:
        return None


def short_topic_id(name: str) -> int | None:
    """The topic id that holds a short topic name; None if the name does not have two bytes."""
    encoded = name.encode()
    return int.from_bytes(encoded, "big") if len(encoded) == SHORT_TOPIC_BYTES else None


class TopicIds:
    """The topic ids of one client: registered, predefined, short.

    A name always has the same id. An id that the client may not know, because it rebooted or did
    not acknowledge it, is not used before it is registered again.
    """

    def __init__(
        self,
        predefined: Mapping[int, str],
        *,
        topics_max: int,
        bytes_max: int = 0,
        account: Account | None = None,
    ) -> None:
        """`bytes_max`: of all names; `account`: their share of the gateway's memory."""
        self._predefined = predefined
        self._topics_max = min(topics_max, TOPIC_ID_MAX - TOPIC_ID_MIN + 1)
        self._bytes_max = bytes_max
        self._account = account
        self._bytes = 0
        self._names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._known: set[int] = set()
        self._used_predefined: dict[str, int] = {}
        self.changes = 0
        """A counter that grows whenever `saved` changes."""

    def __len__(self) -> int:
        return len(self._names)

    @property
    def saved(self) -> tuple[tuple[tuple[str, bool], ...], tuple[int, ...]]:
        """Names in the order of their ids, each with whether the client knows the id, and the
        predefined ids that the client uses."""
        names = tuple((name, topic_id in self._known) for topic_id, name in self._names.items())
        return names, tuple(self._used_predefined.values())

    def restore(self, names: Iterable[tuple[str, bool]], predefined: Iterable[int]) -> None:
        """Load `saved`."""
        for name, known in names:
            self.register(name, known=known)
        for topic_id in predefined:
            if topic_id in self._predefined:
                self.use_predefined(topic_id)

    def has_room_for(self, name: str) -> bool:
        if name in self._ids:
            return True
        size = len(name.encode())
        if len(self._names) >= self._topics_max or self._bytes + size > self._bytes_max:
            return False
        return self._account is None or self._account.has_room_for(size + ENTRY_BYTES)

    def register(self, name: str, *, known: bool) -> int | None:
        """The id of the name; None if the client has too many. `known`: the client gets the id."""
        topic_id = self._ids.get(name)
        if topic_id is None:
            if not self.has_room_for(name):
                return None
            size = len(name.encode())
            self._bytes += size
            if self._account is not None:
                self._account.take(size + ENTRY_BYTES)
            topic_id = TOPIC_ID_MIN + len(self._names)
            self._ids[name] = topic_id
            self._names[topic_id] = name
            self.changes += 1
        if known:
            self.confirm(topic_id)
        return topic_id

    def name(self, kind: TopicIdType, topic_id: int) -> str | None:
        """The topic of a PUBLISH; None if the id is unknown or the topic is invalid."""
        if kind is TopicIdType.NORMAL:
            return self._names.get(topic_id)
        if kind is TopicIdType.PREDEFINED:
            return self._predefined.get(topic_id)
        name = short_topic(topic_id)
        return name if name is not None and is_topic(name) else None

    def filter(self, kind: TopicIdType, named: str | int) -> str | None:
        """The filter of a SUBSCRIBE or UNSUBSCRIBE; None if it is invalid."""
        if isinstance(named, int):
            return self._predefined.get(named) if kind is TopicIdType.PREDEFINED else None
        return named if is_filter(named) else None

    def use_predefined(self, topic_id: int) -> None:
        """The client subscribed with this predefined id, so it knows it."""
        self.changes += 1
        self._used_predefined[self._predefined[topic_id]] = topic_id

    def reference(self, name: str) -> tuple[TopicIdType, int] | None:
        """How to name the topic in PUBLISH; None if it must be registered first."""
        topic_id = self._ids.get(name)
        if topic_id is not None and topic_id in self._known:
            return TopicIdType.NORMAL, topic_id
        predefined = self._used_predefined.get(name)
        if predefined is not None:
            return TopicIdType.PREDEFINED, predefined
        short = short_topic_id(name)  # 6.10: needs no registration
        return None if short is None else (TopicIdType.SHORT, short)

    def confirm(self, topic_id: int) -> None:
        """The client acknowledged the registration."""
        if topic_id in self._names and topic_id not in self._known:
            self._known.add(topic_id)
            self.changes += 1

    def forget(self, topic_id: int) -> None:
        """The client does not know this id."""
        self._known.discard(topic_id)
        self.changes += 1

    def forget_known(self) -> None:
        """The client may have rebooted: names keep their ids but must be registered again."""
        self._known.clear()
        self.changes += 1

    def clear(self) -> None:
        if self._account is not None:
            self._account.give_back(self._bytes + ENTRY_BYTES * len(self._names))
        self._bytes = 0
        self._names.clear()
        self._ids.clear()
        self._known.clear()
        self._used_predefined.clear()
        self.changes += 1
