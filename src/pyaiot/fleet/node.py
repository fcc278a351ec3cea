# SPDX-License-Identifier: BSD-3-Clause
"""What virtual nodes of all protocols have in common."""

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp

from pyaiot.fleet.datagrams import Datagrams
from pyaiot.fleet.ledger import Series

RESOURCE: Final = "reading"
"""The resource whose values are counted. No node lists it, so that no discovery reads it too."""
WAITING_MAX: Final = 12
"""Readings of one node that wait for their acknowledgement. Beyond, it makes none."""
TRIES_MAX: Final = 10
"""How often a reading is sent that is refused for now. Then its node gives it up."""


class NodeKind(Protocol):
    """How the nodes of a protocol are made: `gateways.plugin.FleetNodes`."""

    @property
    def count(self) -> str: ...
    @property
    def settings(self) -> Callable[[], type[Any]]: ...
    @property
    def open(self) -> Callable[[Any, Any], Awaitable[Any]]: ...


class VirtualNode(ABC):
    """A node of the fleet. `now` is in seconds, on a clock that never goes back."""

    def __init__(self, uid: str, series: Series) -> None:
        self.uid = uid
        self.series = series
        self.waiting: dict[int, int] = {}
        """Readings without an acknowledgement, and how often each was sent; the oldest first."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether its gateway took it in."""

    def wake(self) -> None:  # noqa: B027 - most nodes have timers
        """Called now and then: send what is due, if the node has no timer of its own."""

    @abstractmethod
    def _send(self, number: int, *, now: float) -> bool:
        """Send a reading. Whether it left the node."""

    def read(self, *, now: float) -> None:
        """A reading is due."""
        if not self.is_connected or len(self.waiting) >= WAITING_MAX:
            self.series.account.skipped += 1
            return
        number = self.series.send(now=now)
        self.waiting[number] = 1
        if not self._send(number, now=now):
            self._give_up(number)

    def _acknowledged(self, number: int) -> None:
        if self.waiting.pop(number, None) is not None:
            self.series.acknowledge(number)

    def _refused(self, number: int, why: str, *, for_now: bool) -> bool:
        """Whether the node shall send it again, later."""
        self.series.account.refusals[why] += 1
        tries = self.waiting.get(number)
        if tries is None:
            return False
        if not for_now or tries >= TRIES_MAX:
            self._give_up(number)
            return False
        self.waiting[number] = tries + 1
        return True

    def _give_up(self, number: int) -> None:
        if self.waiting.pop(number, None) is not None:
            self.series.abandon(number)


@dataclass(frozen=True, slots=True)
class FleetRun:
    """What the nodes of a run share."""

    gateway_host: str
    session: aiohttp.ClientSession
    datagrams: Datagrams
    start: Callable[[Coroutine[Any, Any, None], str], None]
    """Run a coroutine, under this name, until the fleet ends."""
    rng: random.Random
    clock: Callable[[], float]


class NodeFactory(ABC):
    """Makes the virtual nodes of one protocol and connects them."""

    @property
    @abstractmethod
    def place(self) -> tuple[str, str, int, str]:
        """Where they connect: `gateway` or `broker`, host, port, and the flag without `--`."""

    @abstractmethod
    def add(self, uid: str, series: Series) -> VirtualNode:
        """A further node, on its way to its gateway. Raises `OperatorError`."""
