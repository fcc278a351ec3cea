# SPDX-License-Identifier: BSD-3-Clause
"""The table of commands issued over HTTP, with their ids and idempotency keys.

A program is identified by its session, or else by its address. The limits of a client of the broker
apply to it: commands at once and per second.
"""

import asyncio
import hashlib
import math
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from pyaiot.audit.entry import THIS_PROCESS, Principal
from pyaiot.broker.broker import Broker
from pyaiot.messages import Command, Receipt, ToClient
from pyaiot.web.api.idempotency_file import IdempotencyFile, KeyedCommand
from pyaiot.web.api.schemas import CommandState, CommandStatus
from pyaiot.web.problems import ProblemError

ENDED_MAX: Final = 10_000
"""Finished commands without an `Idempotency-Key` that are remembered. Beyond that: the oldest is
forgotten."""
ENDED_PER_PROGRAM_MAX: Final = 1000
"""The same for one program. Beyond that: its oldest is forgotten."""
KEY_LIFE_S: Final = 24 * 3600.0
"""How long an `Idempotency-Key` and its command are remembered. After that it is a new key."""
KEY_GRACE_S: Final = 3600.0
"""The least remaining life of a key after a restart of the broker: the clock may be wrong then."""
KEYS_MAX: Final = 50_000
"""Keys that are remembered. A command with one more is refused with 503 and not carried out."""
KEYS_PER_PROGRAM_MAX: Final = 10_000
"""The same for one program. A command with one more is refused with 429 and not carried out."""
PROGRAMS_MAX: Final = 1000
"""Programs with a command that waits for its receipt. One more program: 503."""
KEY_LENGTH_MAX: Final = 255
"""Characters of an `Idempotency-Key`. Longer: 400."""
_RESTART: Final = "the broker was restarted before the node answered"


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
        """`ts` is Unix time, `issued_at` is seconds of the monotonic clock."""
        self.program = program
        self.issued_at = issued_at
        self.command_id = secrets.token_hex(8)
        self.uid = uid
        self.resource = resource
        self.ts = ts
        self.key = key
        """Hash of the program and its `Idempotency-Key`; empty if there is no key."""
        self.fingerprint = fingerprint
        """Hash of node, resource and payload, to recognise a repeated command."""
        self.receipt: Receipt | None = None
        self._ended: asyncio.Event | None = asyncio.Event()

    def end(self, receipt: Receipt) -> None:
        self.receipt = receipt
        if self._ended is not None:
            self._ended.set()
            self._ended = None  # saves memory: many commands are remembered

    async def ended(self) -> None:
        """Wait for the receipt. The broker gives one at most a second after the deadline."""
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


class _Program:
    def __init__(self, client: str) -> None:
        self.client = client
        self.pending = 0


class HttpCommandTable:
    """Commands that are pending or remembered. Belongs to the broker's loop."""

    def __init__(
        self,
        broker: Broker,
        unix_time: Callable[[], float],
        clock: Callable[[], float],
        file: IdempotencyFile | None = None,
    ) -> None:
        """`clock` is monotonic and measures the lifetime of keys.

        `file`: where keys survive a restart; None: they do not.
        """
        self._broker = broker
        self._unix_time = unix_time
        self._clock = clock
        self._programs: OrderedDict[str, _Program] = OrderedDict()
        self._pending: dict[str, tuple[HttpCommand, _Program]] = {}
        self._ended: OrderedDict[str, HttpCommand] = OrderedDict()
        """Finished commands without a key by their id, the oldest first."""
        self._ended_of: dict[str, OrderedDict[str, None]] = {}
        """Their ids by program."""
        self._keys: OrderedDict[bytes, HttpCommand] = OrderedDict()
        """Commands by their key, pending ones included, the oldest first."""
        self._keys_of: Counter[str] = Counter()
        """Number of keys by program."""
        self._keyed: dict[str, HttpCommand] = {}
        """Commands with a key by their id."""
        self._file = file or IdempotencyFile(None)
        self._restore()

    def find(self, command_id: str) -> HttpCommand | None:
        """The command with this id, unless it was forgotten."""
        self._forget_old_keys()
        pending = self._pending.get(command_id)
        if pending is not None:
            return pending[0]
        return self._keyed.get(command_id) or self._ended.get(command_id)

    def issue(
        self,
        program: str,
        uid: str,
        resource: str,
        payload: str,
        timeout_s: float,
        key: str,
        principal: Principal = THIS_PROCESS,
    ) -> HttpCommand:
        """Issue a command, or find the one that was issued with the same `key` ("": none).

        `principal`: who issues it, for the audit log. Raises `ProblemError`.
        """
        fingerprint = _hash(uid, resource, payload)
        scoped_key = _hash(program, key) if key else b""
        self._forget_old_keys()
        if scoped_key and (known := self._keys.get(scoped_key)) is not None:
            if known.fingerprint != fingerprint:
                raise ProblemError(
                    409, "key-reused", f"the key belongs to the command {known.command_id}"
                )
            return known
        if scoped_key:
            self._check_room_for_key(program)
        sender = self._program(program)
        command = HttpCommand(
            program,
            uid,
            resource,
            ts=self._unix_time(),
            issued_at=self._clock(),
            key=scoped_key,
            fingerprint=fingerprint,
        )
        self._pending[command.command_id] = (command, sender)
        sender.pending += 1
        if scoped_key:
            self._keys[scoped_key] = command
            self._keys_of[program] += 1
            self._keyed[command.command_id] = command
            self._file.add(_stored(command))
        self._broker.from_issuer(
            sender.client,
            Command(
                id=command.command_id,
                uid=uid,
                resource=resource,
                payload=payload,
                timeout_s=timeout_s,
            ),
            principal,
        )
        if command.receipt is not None:
            # Answered at once: it was not sent, so that a retry with the same key must be sent.
            self._forget(command)
            if scoped_key:
                self._file.end(command.command_id, None)
        return command

    def remembers(self, command: HttpCommand) -> bool:
        """Whether `find` still finds it."""
        return self.find(command.command_id) is command

    def _receive(self, message: ToClient) -> None:
        if not isinstance(message, Receipt) or message.id not in self._pending:
            return
        command, sender = self._pending.pop(message.id)
        sender.pending -= 1
        command.end(message)
        if command.key:
            self._file.end(command.command_id, message)
            return
        own = self._ended_of.setdefault(command.program, OrderedDict())
        own[command.command_id] = None
        self._ended[command.command_id] = command
        if len(own) > ENDED_PER_PROGRAM_MAX:
            self._forget(self._ended[next(iter(own))])
        if len(self._ended) > ENDED_MAX:
            self._forget(next(iter(self._ended.values())))

    def _forget(self, command: HttpCommand) -> None:
        if command.key:
            if self._keyed.pop(command.command_id, None) is None:
                return
            del self._keys[command.key]
            self._keys_of[command.program] -= 1
            if not self._keys_of[command.program]:
                del self._keys_of[command.program]
        elif self._ended.pop(command.command_id, None) is not None:
            own = self._ended_of[command.program]
            del own[command.command_id]
            if not own:
                del self._ended_of[command.program]

    def _forget_old_keys(self) -> None:
        """Forget expired keys. Their commands have receipts by then."""
        until = self._clock() - KEY_LIFE_S
        while self._keys:
            oldest = next(iter(self._keys.values()))
            if oldest.issued_at > until:
                return
            self._forget(oldest)
            self._file.compact(map(_stored, self._keys.values()), len(self._keys))

    def _restore(self) -> None:
        """Load the keys of the previous run, for the rest of their lifetime."""
        now, ts = self._clock(), self._unix_time()
        restored = []
        for stored in self._file.read():
            left_s = min(KEY_LIFE_S, max(KEY_GRACE_S, stored.ts + KEY_LIFE_S - ts))
            command = HttpCommand(
                stored.program,
                stored.uid,
                stored.resource,
                ts=stored.ts,
                issued_at=now + left_s - KEY_LIFE_S,
                key=stored.key,
                fingerprint=stored.fingerprint,
            )
            command.command_id = stored.id
            command.end(stored.receipt or Receipt(id=stored.id, state="timeout", detail=_RESTART))
            restored.append(command)
        restored.sort(key=lambda command: command.issued_at)
        for command in restored[-KEYS_MAX:]:
            self._keys[command.key] = command
            self._keys_of[command.program] += 1
            self._keyed[command.command_id] = command
        self._file.compact(map(_stored, self._keys.values()), len(self._keys))

    def _check_room_for_key(self, program: str) -> None:
        if self._keys_of[program] >= KEYS_PER_PROGRAM_MAX:
            raise ProblemError(
                429,
                "too-many-keys",
                f"{KEYS_PER_PROGRAM_MAX} keys of this client are remembered, each for 24 hours."
                " The command was not carried out",
                retry_after_s=self._seconds_until_room(),
            )
        if len(self._keys) >= KEYS_MAX:
            raise ProblemError(
                503,
                "busy",
                f"{KEYS_MAX} keys are remembered. The command was not carried out",
                retry_after_s=self._seconds_until_room(),
            )

    def _seconds_until_room(self) -> int:
        oldest = next(iter(self._keys.values()))
        return max(1, math.ceil(oldest.issued_at + KEY_LIFE_S - self._clock()))

    def _program(self, name: str) -> _Program:
        program = self._programs.get(name)
        if program is None:
            if len(self._programs) >= PROGRAMS_MAX:
                self._forget_idle()
            program = _Program(self._broker.issuer_connected(self._receive))
            self._programs[name] = program
        self._programs.move_to_end(name)
        return program

    def _forget_idle(self) -> None:
        for name, program in self._programs.items():
            if not program.pending:
                self._broker.issuer_left(program.client)
                del self._programs[name]
                return
        raise ProblemError(
            503, "busy", f"{PROGRAMS_MAX} clients are waiting for nodes", retry_after_s=1
        )


def _stored(command: HttpCommand) -> KeyedCommand:
    return KeyedCommand(
        id=command.command_id,
        program=command.program,
        uid=command.uid,
        resource=command.resource,
        ts=command.ts,
        key=command.key,
        fingerprint=command.fingerprint,
        receipt=command.receipt,
    )


def _hash(*parts: str) -> bytes:
    # Each part is preceded by its length, so that different parts never give the same text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
