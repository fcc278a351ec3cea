# SPDX-License-Identifier: BSD-3-Clause
"""Commands that programs give over HTTP: each has a name, and is remembered for a while.

A program is told apart by its session, or else by its address: what it may command at once and per
second is what one client of the broker may.
"""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pyaiot import messages
from pyaiot.broker.broker import Broker
from pyaiot.messages import Receipt, ToClient
from pyaiot.web.api.answers import Command, CommandState
from pyaiot.web.problems import ProblemError

ENDED_MAX: Final = 10_000
"""Commands with a receipt that are remembered, also by their `Idempotency-Key`. Beyond: the oldest
is forgotten."""
PROGRAMS_MAX: Final = 1000
"""Programs that command at the same time. One more: 503."""
KEY_LENGTH_MAX: Final = 255
"""Characters of an `Idempotency-Key`. Longer: 400."""


class Wish:
    """A command that was given, and its receipt when it is there."""

    __slots__ = ("_ended", "command_id", "key", "print", "receipt", "resource", "ts", "uid")

    def __init__(
        self, uid: str, resource: str, ts: float, key: tuple[str, str] | None, print_: bytes
    ) -> None:
        self.command_id = secrets.token_hex(8)
        self.uid = uid
        self.resource = resource
        self.ts = ts
        self.key = key
        self.print = print_
        """Hash of what was wished, to know it again."""
        self.receipt: Receipt | None = None
        self._ended = asyncio.Event()

    def end(self, receipt: Receipt) -> None:
        self.receipt = receipt
        self._ended.set()

    async def ended(self) -> None:
        """Wait for the receipt. The broker owes one, a second after the deadline at the latest."""
        await self._ended.wait()

    def answer(self) -> Command:
        receipt = self.receipt
        state: CommandState = "pending" if receipt is None else receipt.state
        return Command(
            id=self.command_id,
            uid=self.uid,
            resource=self.resource,
            state=state,
            detail="" if receipt is None else receipt.detail,
            elapsed_ms=0.0 if receipt is None else receipt.elapsed_ms,
            ts=self.ts,
        )


class _Program:
    def __init__(self, client: str) -> None:
        self.client = client
        self.pending = 0


class Commands:
    """The table of commands given over HTTP. Lives on the broker's loop."""

    def __init__(self, broker: Broker, unix_time: Callable[[], float]) -> None:
        self._broker = broker
        self._unix_time = unix_time
        self._programs: OrderedDict[str, _Program] = OrderedDict()
        self._pending: dict[str, tuple[Wish, _Program]] = {}
        self._ended: OrderedDict[str, Wish] = OrderedDict()
        self._by_key: dict[tuple[str, str], Wish] = {}

    def find(self, command_id: str) -> Wish | None:
        """The command of this name, unless it was forgotten."""
        pending = self._pending.get(command_id)
        return pending[0] if pending else self._ended.get(command_id)

    def give(
        self, program: str, uid: str, resource: str, payload: str, timeout_s: float, key: str
    ) -> Wish:
        """Give a command, or find the one that was given with the same `key` ("": none).

        Raises `ProblemError`.
        """
        print_ = _print(uid, resource, payload)
        whole_key = (program, key) if key else None
        if whole_key is not None and (known := self._by_key.get(whole_key)) is not None:
            if known.print != print_:
                raise ProblemError(
                    409, "key-reused", f"the key belongs to the command {known.command_id}"
                )
            return known
        sender = self._program(program)
        wish = Wish(uid, resource, self._unix_time(), whole_key, print_)
        self._pending[wish.command_id] = (wish, sender)
        sender.pending += 1
        if whole_key is not None:
            self._by_key[whole_key] = wish
        self._broker.from_asker(
            sender.client,
            messages.Command(
                id=wish.command_id,
                uid=uid,
                resource=resource,
                payload=payload,
                timeout_s=timeout_s,
            ),
        )
        return wish

    def forget_key(self, wish: Wish) -> None:
        """It went nowhere: who tries again with the same key means it."""
        if wish.key is not None and self._by_key.get(wish.key) is wish:
            del self._by_key[wish.key]

    def _heard(self, message: ToClient) -> None:
        if not isinstance(message, Receipt) or message.id not in self._pending:
            return
        wish, sender = self._pending.pop(message.id)
        sender.pending -= 1
        wish.end(message)
        self._ended[wish.command_id] = wish
        if len(self._ended) > ENDED_MAX:
            _, oldest = self._ended.popitem(last=False)
            self.forget_key(oldest)

    def _program(self, name: str) -> _Program:
        program = self._programs.get(name)
        if program is None:
            if len(self._programs) >= PROGRAMS_MAX:
                self._forget_idle()
            program = _Program(self._broker.asker_connected(self._heard))
            self._programs[name] = program
        self._programs.move_to_end(name)
        return program

    def _forget_idle(self) -> None:
        for name, program in self._programs.items():
            if not program.pending:
                self._broker.asker_left(program.client)
                del self._programs[name]
                return
        raise ProblemError(503, "busy", f"{PROGRAMS_MAX} programs wait for nodes", retry_after_s=1)


def _print(*parts: str) -> bytes:
    # Lengths first, so that no two wishes look the same.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
