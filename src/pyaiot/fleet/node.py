# SPDX-License-Identifier: BSD-3-Clause
"""The base of virtual nodes of all protocols."""

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from pyaiot.fleet.datagrams import Datagrams
from pyaiot.fleet.ledger import ReadingSeries

RESOURCE: Final = "reading"
"""The counted resource. No node lists it, so discovery does not read it."""
WAITING_MAX: Final = 12
"""Unacknowledged readings of a node. At the limit it skips readings."""
TRIES_MAX: Final = 10
"""Times a reading is sent after temporary refusals. Then the node drops it."""


class NodeKind(Protocol):
    """How to create the nodes of a protocol. See `gateways.plugin.FleetNodes`."""

    @property
    def count(self) -> str: ...
    @property
    def settings(self) -> Callable[[], type[Any]]: ...
    @property
    def open(self) -> Callable[[Any, Any], Awaitable[Any]]: ...


class VirtualNode(ABC):
    """A node of the fleet. `now` is in seconds, on a monotonic clock."""

    def __init__(self, uid: str, series: ReadingSeries) -> None:
        self.uid = uid
        self.series = series
        self.waiting: dict[int, int] = {}
        """Unacknowledged readings, and how often each was sent; oldest first."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the gateway has accepted the node."""

    def flush(self) -> None:  # noqa: B027 - only nodes without a timer need it
        """Send what is due. Called regularly."""

    @abstractmethod
    def _send(self, number: int, *, now: float) -> bool:
        """Send a reading. Whether it was sent."""

    def read(self, *, now: float) -> None:
        """Take a reading and send it."""
        if not self.is_connected or len(self.waiting) >= WAITING_MAX:
            self.series.tally.skipped += 1
            return
        number = self.series.send(now=now)
        self.waiting[number] = 1
        if not self._send(number, now=now):
            self._give_up(number)

    def _acknowledged(self, number: int) -> None:
        if self.waiting.pop(number, None) is not None:
            self.series.acknowledge(number)

    def _refused(self, number: int, reason: str, *, is_temporary: bool) -> bool:
        """Handle a refusal. Whether to send the reading again later."""
        self.series.tally.refusals[reason] += 1
        tries = self.waiting.get(number)
        if tries is None:
            return False
        if not is_temporary or tries >= TRIES_MAX:
            self._give_up(number)
            return False
        self.waiting[number] = tries + 1
        return True

    def _give_up(self, number: int) -> None:
        if self.waiting.pop(number, None) is not None:
            self.series.abandon(number)


class FleetRun(msgspec.Struct, frozen=True):
    """Resources that the nodes of a run share."""

    gateway_host: str
    session: aiohttp.ClientSession
    datagrams: Datagrams
    start: Callable[[Coroutine[Any, Any, None], str], None]
    """Run a coroutine as a task of this name until the fleet ends."""
    rng: random.Random
    clock: Callable[[], float]


class NodeFactory(ABC):
    """Creates and connects the virtual nodes of one protocol."""

    @property
    @abstractmethod
    def target(self) -> tuple[str, str, int, str]:
        """The nodes' server: `gateway` or `broker`, host, port, and flag prefix without `--`."""

    @abstractmethod
    def add(self, uid: str, series: ReadingSeries) -> VirtualNode:
        """Create a node and start connecting it. Raises `OperatorError`."""
