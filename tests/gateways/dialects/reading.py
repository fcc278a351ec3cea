# SPDX-License-Identifier: BSD-3-Clause
"""Reads recordings with a dialect, for tests."""

from collections.abc import Iterable
from typing import Any

from pyaiot.gateways.mqtt.dialects import new_dialects
from pyaiot.gateways.mqtt.dialects.dialect import (
    DeviceChanged,
    DeviceMessage,
    DevicePresence,
    DeviceRemoved,
    DeviceValue,
    Dialect,
    DialectEvent,
    NotUnderstood,
)
from pyaiot.model import ResourceType

UNIX_TIME = 1_700_000_000.0


def dialect_named(name: str, *others: str) -> Dialect:
    return next(it for it in new_dialects((name, *others), lambda: UNIX_TIME) if it.name == name)


class Reader:
    """A dialect, and the nodes and values that it found in the messages it received."""

    def __init__(self, name: str, *others: str) -> None:
        self.dialect = dialect_named(name, *others)
        self.events: list[DialectEvent] = []
        self.now = 0.0

    def read(self, messages: Iterable[tuple[str, bytes, bool]]) -> "Reader":
        for topic, payload, retained in messages:
            events = self.dialect.receive(topic, payload, retained=retained, now=self.now)
            assert events is not None, topic
            self.events += events
        return self

    def value(self, uid: str, resource: str) -> Any:
        """The latest value with its unit; None: there was none."""
        for event in reversed(self.events):
            if isinstance(event, DeviceValue) and event[:2] == (uid, resource):
                return event.data if event.unit in (None, "") else (event.data, event.unit)
        return None

    def values(self, uid: str) -> dict[str, Any]:
        names = [it.resource for it in self.events if isinstance(it, DeviceValue) and it.uid == uid]
        return {name: self.value(uid, name) for name in names}

    def type(self, uid: str, resource: str) -> ResourceType:
        return self.dialect.describe(uid).types[resource]

    def online(self, uid: str) -> bool | None:
        """The latest reported presence; None: none was reported."""
        states = [
            it.online for it in self.events if isinstance(it, DevicePresence) and it.uid == uid
        ]
        return states[-1] if states else None

    def uids(self) -> set[str]:
        return {it.uid for it in self.events if isinstance(it, DeviceChanged)}

    def removed(self) -> set[str]:
        return {it.uid for it in self.events if isinstance(it, DeviceRemoved)}

    def messages(self) -> list[tuple[str, bytes]]:
        return [it[:2] for it in self.events if isinstance(it, DeviceMessage)]

    def problems(self) -> dict[str, str]:
        return {it.what: it.why for it in self.events if isinstance(it, NotUnderstood)}

    def command(self, uid: str, resource: str, text: str) -> tuple[str, str]:
        message = self.dialect.command(uid, resource, text)
        return message.topic, message.payload.decode()
