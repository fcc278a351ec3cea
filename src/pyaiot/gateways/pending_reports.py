# SPDX-License-Identifier: BSD-3-Clause
"""Commands of protocols without acknowledgement: the word is the node's report of the value. Pure.

What waits is bounded by who waits: `COMMANDS_MAX` and `COMMANDS_PER_NODE_MAX` of the gateway.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pyaiot.messages import echoes


@dataclass(frozen=True, slots=True, eq=False)
class PendingReport:
    """A node was told `payload`, and may say so."""

    uid: str
    resource: str
    payload: str
    ended: Callable[[bool], None]


class PendingReports:
    """The reports that are waited for."""

    def __init__(self) -> None:
        self._by_uid: dict[str, list[PendingReport]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_uid.values()))

    def expect(
        self, uid: str, resource: str, payload: str, ended: Callable[[bool], None]
    ) -> PendingReport:
        """Wait from now on. Call it before the node is told: it may be quick.

        `ended` is called at most once: True, the node reports the value; False, the node left.
        """
        echo = PendingReport(uid, resource, payload, ended)
        self._by_uid.setdefault(uid, []).append(echo)
        return echo

    def forget(self, echo: PendingReport) -> None:
        """Nobody waits any more. Nothing happens if it has ended."""
        waiting = self._by_uid.get(echo.uid, [])
        if echo in waiting:
            waiting.remove(echo)
            if not waiting:
                del self._by_uid[echo.uid]

    def heard(self, uid: str, resource: str, data: object) -> None:
        """A node reports a value. It ends every wait for this value."""
        for echo in self._by_uid.get(uid, [])[:]:
            if echo.resource == resource and echoes(echo.payload, data):
                self.forget(echo)
                echo.ended(True)

    def left(self, uid: str) -> None:
        """The node will report nothing more."""
        for echo in self._by_uid.pop(uid, []):
            echo.ended(False)
