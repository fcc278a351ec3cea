# SPDX-License-Identifier: BSD-3-Clause
"""Tracks the issuer of each command, for the audit log and the history. Pure."""

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
    """Tracks the issuer of each command, and records the command when its receipt arrives."""

    def __init__(self, sink: AuditSink | None) -> None:
        """`sink` None: there is no audit log."""
        self._sink = sink
        self._principals: dict[str, Principal] = {}
        """Principals by client. Clients without an entry are parts of this process."""
        self._in_flight: dict[str, Principal] = {}
        """Issuers by the id of the command: a client may leave before the receipt arrives."""

    def connected(self, client: str, principal: Principal) -> None:
        self._principals[client] = principal

    def left(self, client: str) -> None:
        self._principals.pop(client, None)

    def sent(self, command: Command) -> str:
        """Returns the issuer."""
        principal = self._principals.get(command.client, THIS_PROCESS)
        self._in_flight[command.id] = principal
        return principal.who

    def ended(self, command: Command, receipt: Receipt) -> str:
        """Returns the issuer. A command that was not sent has no id."""
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
