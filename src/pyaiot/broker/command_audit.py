# SPDX-License-Identifier: BSD-3-Clause
"""Who issued each command, for the audit log and the history. Pure."""

from typing import Protocol

from pyaiot.audit.entry import COMMAND, THIS_PROCESS, Principal
from pyaiot.messages import Command, Receipt


class AuditSink(Protocol):
    """Records an action; see `AuditLog.record`. It must never wait."""

    def record(
        self,
        principal: Principal,
        action: str,
        result: str = "ok",
        *,
        uids: tuple[str, ...] = (),
        resource: str = "",
        detail: str = "",
    ) -> None: ...


class CommandAudit:
    """Knows who issued each command, and records it when it has its receipt."""

    def __init__(self, sink: AuditSink | None) -> None:
        """`sink` None: there is no audit log."""
        self._sink = sink
        self._principals: dict[str, Principal] = {}
        """By client. Clients that are not here are parts of this process."""
        self._in_flight: dict[str, Principal] = {}
        """By the id of the command. Its client may leave before the receipt."""

    def connected(self, client: str, principal: Principal) -> None:
        self._principals[client] = principal

    def left(self, client: str) -> None:
        self._principals.pop(client, None)

    def sent(self, command: Command) -> str:
        """Returns who issued it."""
        principal = self._principals.get(command.client, THIS_PROCESS)
        self._in_flight[command.id] = principal
        return principal.who

    def ended(self, command: Command, receipt: Receipt) -> str:
        """Returns who issued it. The id of a command that was not sent is empty."""
        principal = self._in_flight.pop(command.id, None)
        if principal is None:
            principal = self._principals.get(command.client, THIS_PROCESS)
        if self._sink is not None:
            self._sink.record(
                principal,
                COMMAND,
                receipt.state,
                uids=(command.uid,),
                resource=command.resource,
                detail=receipt.detail,
            )
        return principal.who
