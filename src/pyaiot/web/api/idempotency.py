# SPDX-License-Identifier: BSD-3-Clause
"""Commands that programs give over HTTP: each has a name, and is remembered for a while.

A program is told apart by its session, or else by its address: what it may command at once and per
second is what one client of the broker may.
"""

import asyncio
import hashlib
import math
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from pyaiot import messages
from pyaiot.broker.broker import Broker
from pyaiot.messages import Receipt, ToClient
from pyaiot.web.api.schemas import Command, CommandState
from pyaiot.web.problems import ProblemError

ENDED_MAX: Final = 10_000
"""Commands without an `Idempotency-Key` that are remembered with their receipt. Beyond: the oldest
is forgotten."""
ENDED_PER_PROGRAM_MAX: Final = 1000
"""The same of one program. Beyond: its oldest is forgotten."""
KEY_LIFE_S: Final = 24 * 3600.0
"""How long an `Idempotency-Key` and its command are remembered. After that it is a new key."""
KEYS_MAX: Final = 50_000
"""Keys that are remembered. A command with one more is refused with 503, and not carried out."""
KEYS_PER_PROGRAM_MAX: Final = 10_000
"""The same of one program. A command with one more is refused with 429, and not carried out."""
PROGRAMS_MAX: Final = 1000
"""Programs that command at the same time. One more: 503."""
KEY_LENGTH_MAX: Final = 255
"""Characters of an `Idempotency-Key`. Longer: 400."""


class Wish:
    """A command that was given, and its receipt when it is there."""

    __slots__ = (
        *("_ended", "command_id", "given_at", "key", "print", "program", "receipt", "resource"),
        *("ts", "uid"),
    )

    def __init__(
        self,
        program: str,
        uid: str,
        resource: str,
        *,
        ts: float,
        given_at: float,
        key: bytes,
        print_: bytes,
    ) -> None:
        """`ts` is Unix time, `given_at` is seconds of the clock that never jumps."""
        self.program = program
        self.given_at = given_at
        self.command_id = secrets.token_hex(8)
        self.uid = uid
        self.resource = resource
        self.ts = ts
        self.key = key
        """Hash of the program and its `Idempotency-Key`; empty if there is none."""
        self.print = print_
        """Hash of what was wished, to know it again."""
        self.receipt: Receipt | None = None
        self._ended: asyncio.Event | None = asyncio.Event()

    def end(self, receipt: Receipt) -> None:
        self.receipt = receipt
        if self._ended is not None:
            self._ended.set()
            self._ended = None  # many are remembered, and nobody waits any more

    async def ended(self) -> None:
        """Wait for the receipt. The broker owes one, a second after the deadline at the latest."""
        if self._ended is not None:
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

    def __init__(
        self, broker: Broker, unix_time: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        """`clock` never jumps: the life of keys is measured by it."""
        self._broker = broker
        self._unix_time = unix_time
        self._clock = clock
        self._programs: OrderedDict[str, _Program] = OrderedDict()
        self._pending: dict[str, tuple[Wish, _Program]] = {}
        self._ended: OrderedDict[str, Wish] = OrderedDict()
        """Commands without a key, by their id, the oldest first."""
        self._ended_of: dict[str, OrderedDict[str, None]] = {}
        """Their ids by program."""
        self._keys: OrderedDict[bytes, Wish] = OrderedDict()
        """Commands by their key, the oldest first, also those that wait for a receipt."""
        self._keys_of: Counter[str] = Counter()
        """How many of them, by program."""
        self._keyed: dict[str, Wish] = {}
        """The same by their id."""

    def find(self, command_id: str) -> Wish | None:
        """The command of this name, unless it was forgotten."""
        self._forget_old_keys()
        pending = self._pending.get(command_id)
        if pending is not None:
            return pending[0]
        return self._keyed.get(command_id) or self._ended.get(command_id)

    def give(
        self, program: str, uid: str, resource: str, payload: str, timeout_s: float, key: str
    ) -> Wish:
        """Give a command, or find the one that was given with the same `key` ("": none).

        Raises `ProblemError`.
        """
        print_ = _print(uid, resource, payload)
        whole_key = _print(program, key) if key else b""
        self._forget_old_keys()
        if whole_key and (known := self._keys.get(whole_key)) is not None:
            if known.print != print_:
                raise ProblemError(
                    409, "key-reused", f"the key belongs to the command {known.command_id}"
                )
            return known
        if whole_key:
            self._check_room_for_key(program)
        sender = self._program(program)
        wish = Wish(
            program,
            uid,
            resource,
            ts=self._unix_time(),
            given_at=self._clock(),
            key=whole_key,
            print_=print_,
        )
        self._pending[wish.command_id] = (wish, sender)
        sender.pending += 1
        if whole_key:
            self._keys[whole_key] = wish
            self._keys_of[program] += 1
            self._keyed[wish.command_id] = wish
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
        if wish.receipt is not None:
            # Answered at once: it went nowhere, and who tries again means it.
            self._forget(wish)
        return wish

    def remembers(self, wish: Wish) -> bool:
        """Whether `find` finds it."""
        return self.find(wish.command_id) is wish

    def _heard(self, message: ToClient) -> None:
        if not isinstance(message, Receipt) or message.id not in self._pending:
            return
        wish, sender = self._pending.pop(message.id)
        sender.pending -= 1
        wish.end(message)
        if wish.key:
            return
        own = self._ended_of.setdefault(wish.program, OrderedDict())
        own[wish.command_id] = None
        self._ended[wish.command_id] = wish
        if len(own) > ENDED_PER_PROGRAM_MAX:
            self._forget(self._ended[next(iter(own))])
        if len(self._ended) > ENDED_MAX:
            self._forget(next(iter(self._ended.values())))

    def _forget(self, wish: Wish) -> None:
        if wish.key:
            if self._keyed.pop(wish.command_id, None) is None:
                return
            del self._keys[wish.key]
            self._keys_of[wish.program] -= 1
            if not self._keys_of[wish.program]:
                del self._keys_of[wish.program]
        elif self._ended.pop(wish.command_id, None) is not None:
            own = self._ended_of[wish.program]
            del own[wish.command_id]
            if not own:
                del self._ended_of[wish.program]

    def _forget_old_keys(self) -> None:
        """Those whose time is up; one that waits for a receipt ends it before."""
        until = self._clock() - KEY_LIFE_S
        while self._keys:
            oldest = next(iter(self._keys.values()))
            if oldest.given_at > until:
                return
            self._forget(oldest)

    def _check_room_for_key(self, program: str) -> None:
        if self._keys_of[program] >= KEYS_PER_PROGRAM_MAX:
            raise ProblemError(
                429,
                "too-many-keys",
                f"{KEYS_PER_PROGRAM_MAX} of your keys are remembered: one lives for 24 hours."
                " The command was not carried out",
                retry_after_s=self._until_room(),
            )
        if len(self._keys) >= KEYS_MAX:
            raise ProblemError(
                503,
                "busy",
                f"{KEYS_MAX} keys are remembered. The command was not carried out",
                retry_after_s=self._until_room(),
            )

    def _until_room(self) -> int:
        oldest = next(iter(self._keys.values()))
        return max(1, math.ceil(oldest.given_at + KEY_LIFE_S - self._clock()))

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
