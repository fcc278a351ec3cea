# SPDX-License-Identifier: BSD-3-Clause
"""Commands over protocols without acknowledgement: a reading with the value confirms them. Pure.

Their number is limited by `COMMANDS_MAX` and `COMMANDS_PER_NODE_MAX` of `command_runner`.
"""

from collections.abc import Callable

import msgspec

from pyaiot.messages import echoes


class PendingReport(msgspec.Struct, frozen=True, eq=False):
    """A command that a reading with the value `payload` confirms."""

    uid: str
    resource: str
    payload: str
    ended: Callable[[bool | str], None]


class PendingReports:
    """The commands that wait for a reading."""

    def __init__(self) -> None:
        self._by_uid: dict[str, list[PendingReport]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_uid.values()))

    def __bool__(self) -> bool:
        return bool(self._by_uid)

    def expect(
        self, uid: str, resource: str, payload: str, ended: Callable[[bool | str], None]
    ) -> PendingReport:
        """Wait for a reading. Call it before the command is sent: the reading may arrive at once.

        `ended` is called at most once: with True if the node reported the value, with False if the
        node left, with a text if the node refused it for that reason.
        """
        pending = PendingReport(uid, resource, payload, ended)
        self._by_uid.setdefault(uid, []).append(pending)
        return pending

    def forget(self, pending: PendingReport) -> None:
        """Stop waiting. Does nothing if it has ended."""
        waiting = self._by_uid.get(pending.uid, [])
        if pending in waiting:
            waiting.remove(pending)
            if not waiting:
                del self._by_uid[pending.uid]

    def receive_report(self, uid: str, resource: str, data: object) -> None:
        """A node reported a value. This ends all waits for the value."""
        waiting = self._by_uid.get(uid)
        if waiting is None:
            return
        for pending in waiting[:]:
            if pending.resource == resource and echoes(pending.payload, data):
                self.forget(pending)
                pending.ended(True)

    def refuse(self, uid: str, resource: str, payload: str, why: str) -> None:
        """A node refused a command. This ends the oldest wait for it."""
        for pending in self._by_uid.get(uid, []):
            if (pending.resource, pending.payload) == (resource, payload):
                self.forget(pending)
                pending.ended(why)
                return

    def left(self, uid: str) -> None:
        """The node left: its waits end."""
        for pending in self._by_uid.pop(uid, []):
            pending.ended(False)
