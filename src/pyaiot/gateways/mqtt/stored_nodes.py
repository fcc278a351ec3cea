# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of which there are only stored messages so far: they show values, not that it is online."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.mqtt.shares import share_of
from pyaiot.gateways.mqtt.sides import Side

ANSWER_LIMIT_S: Final = 5.0
"""Time for nodes to answer after the broker has sent its stored messages. A node that has only
stored messages by then is offline."""


class StoredNodes:
    """Reports those that do not answer as offline."""

    def __init__(self, gateway: Gateway, forget: Callable[[str], None]) -> None:
        """`forget`: called with each node that is reported as offline."""
        self.uids: set[str] = set()
        self._gateway = gateway
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._timers: dict[tuple[bool, int | None], asyncio.TimerHandle] = {}
        """For a side, and for one of its shares or for all nodes."""

    def connected(self, share: int) -> None:
        """Stored messages of this share may arrive from now on."""
        for secured in (False, True):
            self._cancel((secured, share))

    def caught_up(self, side: Side, share: int | None) -> None:
        """All stored messages of this side have arrived, or those of one share."""
        key = (side.secured, share)
        self._cancel(key)
        self._timers[key] = self._loop.call_later(ANSWER_LIMIT_S, partial(self._end, key))

    def close(self) -> None:
        for key in list(self._timers):
            self._cancel(key)

    def _cancel(self, key: tuple[bool, int | None]) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _end(self, key: tuple[bool, int | None]) -> None:
        del self._timers[key]
        secured, share = key
        for uid in list(self.uids):
            if share is not None and share != share_of(uid):
                continue  # stored messages of its share may still arrive
            node = self._gateway.nodes.get(uid)
            if node is None or node.secured == secured:
                self._forget(uid)
                self._gateway.left(uid, "silent")
