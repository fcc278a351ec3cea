# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that another gateway serves from now on, without a message to clients."""

import asyncio
from collections.abc import Iterable
from typing import Final

from pyaiot.gateways.gateway import Gateway
from pyaiot.messages import NodeLeft

MOVED_MAX: Final = 100_000
"""Nodes that are remembered after their share was released. The oldest is reported as offline."""


class MovedNodes:
    """Forgets nodes of a share, and reports later that they left. The broker ignores it of those
    that another gateway has reported meanwhile."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._due: dict[str, float] = {}
        """When their offline timeout is over here, in order."""

    def released(self, uids: Iterable[str]) -> None:
        gateway = self._gateway
        # A later message about these nodes would take them back.
        gateway.send_events()
        due = self._loop.time() + gateway.nodes.offline_timeout_s
        for uid in uids:
            if gateway.nodes.left(uid, "silent", ts=gateway.unix_time()):
                self._due.pop(uid, None)
                self._due[uid] = due
        self._report(max(0, len(self._due) - MOVED_MAX))

    def expire(self) -> None:
        """Report those whose offline timeout is over."""
        now = self._loop.time()
        self._report(sum(due <= now for due in self._due.values()))

    def _report(self, count: int) -> None:
        for uid in list(self._due)[:count]:
            del self._due[uid]
            if uid not in self._gateway.nodes:
                left = NodeLeft(uid=uid, ts=self._gateway.unix_time(), reason="silent")
                self._gateway.report_nodes([left])
