# SPDX-License-Identifier: BSD-3-Clause
"""A dialect whose module is imported with its first message: most systems have few dialects."""

from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.gateways.mqtt.dialects.dialect import (
    DeviceDescription,
    DeviceMessage,
    Dialect,
    DialectEvent,
)


class DialectOnDemand:
    """See `Dialect`. Without a message, it has no device."""

    def __init__(
        self, name: str, title: str, filters: Sequence[str], make: Callable[[], Dialect]
    ) -> None:
        """`name`, `title` and `filters` are those of the dialect that `make` makes."""
        self.name: Final = name
        self.title: Final = title
        self.filters: Final = filters
        self._make: Final = make

    def load(self) -> Dialect:
        """The dialect itself."""
        dialect = self._make()
        self.receive = dialect.receive  # type: ignore[method-assign]
        self.describe = dialect.describe  # type: ignore[method-assign]
        self.command = dialect.command  # type: ignore[method-assign]
        return dialect

    def receive(
        self, topic: str, payload: bytes, *, retained: bool, now: float
    ) -> Sequence[DialectEvent] | None:
        return self.load().receive(topic, payload, retained=retained, now=now)

    def describe(self, uid: str) -> DeviceDescription:
        return self.load().describe(uid)

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        return self.load().command(uid, resource, text)
