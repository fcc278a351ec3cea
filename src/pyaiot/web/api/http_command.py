# SPDX-License-Identifier: BSD-3-Clause
"""A command that was issued over HTTP."""

import asyncio
import secrets

from pyaiot.messages import Receipt
from pyaiot.web.api.idempotency_file import KeyedCommand
from pyaiot.web.api.schemas import CommandState, CommandStatus


class HttpCommand:
    """A command that was issued, and its receipt as soon as there is one."""

    __slots__ = (
        *("_ended", "command_id", "fingerprint", "issued_at", "key", "program", "receipt"),
        *("resource", "ts", "uid"),
    )

    def __init__(
        self,
        program: str,
        uid: str,
        resource: str,
        *,
        ts: float,
        issued_at: float,
        key: bytes,
        fingerprint: bytes,
    ) -> None:
        """`ts` is Unix time, `issued_at` is monotonic, in seconds."""
        self.program = program
        self.issued_at = issued_at
        self.command_id = secrets.token_hex(8)
        self.uid = uid
        self.resource = resource
        self.ts = ts
        self.key = key
        """Hash of the program and its `Idempotency-Key`; empty if the request has no key."""
        self.fingerprint = fingerprint
        """Hash of node, resource and payload, by which a repeated command is recognised."""
        self.receipt: Receipt | None = None
        self._ended: asyncio.Event | None = asyncio.Event()

    def end(self, receipt: Receipt) -> None:
        self.receipt = receipt
        if self._ended is not None:
            self._ended.set()
            self._ended = None  # saves memory: many commands are remembered

    async def ended(self) -> None:
        """Wait for the receipt. The broker issues it at most one second after the deadline."""
        if self._ended is not None:
            await self._ended.wait()

    def status(self) -> CommandStatus:
        receipt = self.receipt
        state: CommandState = "pending" if receipt is None else receipt.state
        return CommandStatus(
            id=self.command_id,
            uid=self.uid,
            resource=self.resource,
            state=state,
            detail="" if receipt is None else receipt.detail,
            elapsed_ms=0.0 if receipt is None else receipt.elapsed_ms,
            ts=self.ts,
        )

    @classmethod
    def of(cls, stored: KeyedCommand, issued_at: float) -> "HttpCommand":
        """A command of an earlier run or of another broker, without its receipt."""
        command = cls(
            stored.program,
            stored.uid,
            stored.resource,
            ts=stored.ts,
            issued_at=issued_at,
            key=stored.key,
            fingerprint=stored.fingerprint,
        )
        command.command_id = stored.id
        return command

    def stored(self) -> KeyedCommand:
        """The command in the form of the store."""
        return KeyedCommand(
            id=self.command_id,
            program=self.program,
            uid=self.uid,
            resource=self.resource,
            ts=self.ts,
            key=self.key,
            fingerprint=self.fingerprint,
            receipt=self.receipt,
        )
