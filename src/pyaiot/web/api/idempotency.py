# SPDX-License-Identifier: BSD-3-Clause
"""The table of commands that were issued over HTTP, with their ids and idempotency keys.

A program is identified by its session, or else by its address. The limits of a client apply to it:
concurrent commands and rate.
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
from pyaiot.web.api.http_command import HttpCommand
from pyaiot.web.api.idempotency_file import (
    IdempotencyFile,
    KeyedCommand,
    KeyStore,
    KeysUnavailable,
    SharedKeyStore,
)
from pyaiot.web.problems import ProblemError

ENDED_MAX: Final = 10_000
"""Largest number of finished commands without an `Idempotency-Key` that are remembered. Beyond it
the oldest is forgotten."""
ENDED_PER_PROGRAM_MAX: Final = 1000
"""The same for one program."""
KEY_LIFE_S: Final = 24 * 3600.0
"""How long an `Idempotency-Key` and its command are remembered. After that the key can be used
again."""
KEY_GRACE_S: Final = 3600.0
"""Shortest remaining lifetime of a key after a restart of the broker: the clock may have been
wrong."""
KEYS_MAX: Final = 50_000
"""Largest number of keys. A command with a further one is refused with 503 and not carried out."""
KEYS_PER_PROGRAM_MAX: Final = 10_000
"""Largest number of keys of one program. A command with a further one is refused with 429 and not
carried out."""
PROGRAMS_MAX: Final = 1000
"""Largest number of programs with a command that waits for its receipt. A further program is
answered 503."""
KEY_LENGTH_MAX: Final = 255
"""Longest `Idempotency-Key`, in characters. A longer one is answered 400."""
LOOK_INTERVAL_S: Final = 0.1
"""Interval between checks for the receipt of a command that another broker carries out."""
CLAIMS_WAITING_MAX: Final = 1000
"""Largest number of commands that wait until their key is claimed. Further ones are refused with
503."""
_TURNS: Final = 64
_LOST: Final = "the broker that carried it out stored no receipt"
_RESTART: Final = "the broker was restarted before the node answered"


class _Program:
    def __init__(self, client: str) -> None:
        self.client = client
        self.pending = 0


class HttpCommandTable:
    """Commands that are in progress or remembered. Must be used on the event loop of the broker."""

    def __init__(
        self,
        broker: Broker,
        unix_time: Callable[[], float],
        clock: Callable[[], float],
        file: KeyStore | None = None,
        shared: SharedKeyStore | None = None,
    ) -> None:
        """`clock` is monotonic and measures the lifetime of keys. `file`: stores keys across
        restarts; None: a restart forgets them. `shared`: replaces `file`, and shares keys with
        other brokers."""
        self._broker = broker
        self._unix_time = unix_time
        self._clock = clock
        self._programs: OrderedDict[str, _Program] = OrderedDict()
        self._pending: dict[str, tuple[HttpCommand, _Program]] = {}
        self._ended: OrderedDict[str, HttpCommand] = OrderedDict()
        """Finished commands without a key, by id, oldest first."""
        self._ended_of: dict[str, OrderedDict[str, None]] = {}
        """Their ids by program."""
        self._keys: OrderedDict[bytes, HttpCommand] = OrderedDict()
        """Commands by key, including those in progress, oldest first."""
        self._keys_of: Counter[str] = Counter()
        """Number of keys of each program."""
        self._keyed: dict[str, HttpCommand] = {}
        """Commands with a key, by id."""
        self._file = shared or file or IdempotencyFile(None)
        self._shared = shared
        self._turns = [asyncio.Lock() for _ in range(_TURNS)]
        """By the first byte of a key: a key is claimed once at a time."""
        self._claims = 0
        self._following: set[asyncio.Task[None]] = set()
        """Tasks that wait for the receipts of commands of other brokers."""
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
        command_id: str = "",
    ) -> HttpCommand:
        """Issue a command, or find the command that was issued with the same `key` (empty: no key).
        `principal`: the issuer, for the audit log. `command_id`: see `issue_once`. Raises
        `ProblemError`."""
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
        command.command_id = command_id or command.command_id
        self._pending[command.command_id] = (command, sender)
        sender.pending += 1
        if scoped_key:
            self._remember(command)
            self._file.add(command.stored())
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
            # The command was answered at once and not sent, so a retry with the same key must be
            # sent.
            self._forget(command)
            if scoped_key:
                self._file.end(command.command_id, None)
        return command

    async def issue_once(
        self,
        program: str,
        uid: str,
        resource: str,
        payload: str,
        timeout_s: float,
        key: str,
        principal: Principal = THIS_PROCESS,
    ) -> HttpCommand:
        """Like `issue`, but also finds a key that was used at another broker of the cluster."""
        arguments = (program, uid, resource, payload, timeout_s, key, principal)
        shared = self._shared
        if not key or shared is None:
            return self.issue(*arguments)
        if self._claims >= CLAIMS_WAITING_MAX:
            raise ProblemError(
                503, "busy", f"{CLAIMS_WAITING_MAX} commands wait for their key", retry_after_s=1
            )
        scoped_key = _hash(program, key)
        self._claims += 1
        try:
            async with self._turns[scoped_key[0] % _TURNS]:
                self._forget_old_keys()
                if scoped_key in self._keys:
                    return self.issue(*arguments)
                self._check_room_for_key(program)
                wanted = KeyedCommand(
                    id=secrets.token_hex(8),
                    program=program,
                    uid=uid,
                    resource=resource,
                    ts=self._unix_time(),
                    key=scoped_key,
                    fingerprint=_hash(uid, resource, payload),
                )
                other = await shared.claim(wanted, timeout_s)
                if other is None:
                    try:
                        return self.issue(*arguments, command_id=wanted.id)
                    except ProblemError:
                        shared.end(wanted.id, None)
                        raise
                self._adopt(other, shared)
                return self.issue(*arguments)
        except KeysUnavailable as error:
            raise ProblemError(
                503,
                "busy",
                f"the keys of the cluster cannot be read ({error}). The command was not carried"
                " out",
                retry_after_s=1,
            ) from error
        finally:
            self._claims -= 1

    async def find_anywhere(self, command_id: str) -> HttpCommand | None:
        """The command with this id. A command with a key may belong to another broker."""
        command = self.find(command_id)
        if command is not None or self._shared is None:
            return command
        try:
            found = await self._shared.find(command_id)
        except KeysUnavailable:
            return None
        if found is None:
            return None
        stored, is_over = found
        command = HttpCommand.of(stored, self._clock())
        receipt = stored.receipt
        if receipt is None and is_over:
            receipt = Receipt(id=stored.id, state="timeout", detail=_LOST)
        if receipt is not None:
            command.end(receipt)
        return command

    def _adopt(self, stored: KeyedCommand, shared: SharedKeyStore) -> None:
        """Remember a command of another broker, and wait for its receipt."""
        command = HttpCommand.of(stored, self._clock())
        self._remember(command)
        if stored.receipt is not None:
            command.end(stored.receipt)
            return
        task = asyncio.create_task(self._follow(command, shared), name="command of another broker")
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _follow(self, command: HttpCommand, shared: SharedKeyStore) -> None:
        while command.receipt is None:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                found = await shared.find(command.command_id)
            except KeysUnavailable:
                continue
            stored, is_over = found or (None, True)
            if stored is not None and stored.receipt is not None:
                command.end(stored.receipt)
            elif is_over:
                command.end(Receipt(id=command.command_id, state="timeout", detail=_LOST))
                if stored is None:
                    self._forget(command)  # the command was not sent, and its key is free

    def remembers(self, command: HttpCommand) -> bool:
        """Whether `find` still finds the command."""
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
        """Forget expired keys. Their commands already have receipts."""
        until = self._clock() - KEY_LIFE_S
        while self._keys:
            oldest = next(iter(self._keys.values()))
            if oldest.issued_at > until:
                return
            self._forget(oldest)
            self._file.compact(map(HttpCommand.stored, self._keys.values()), len(self._keys))

    def _restore(self) -> None:
        """Load the keys of the previous run, with their remaining lifetime."""
        now, ts = self._clock(), self._unix_time()
        restored = []
        for stored in self._file.read():
            left_s = min(KEY_LIFE_S, max(KEY_GRACE_S, stored.ts + KEY_LIFE_S - ts))
            command = HttpCommand.of(stored, now + left_s - KEY_LIFE_S)
            command.end(stored.receipt or Receipt(id=stored.id, state="timeout", detail=_RESTART))
            restored.append(command)
        restored.sort(key=lambda command: command.issued_at)
        for command in restored[-KEYS_MAX:]:
            self._remember(command)
        self._file.compact(map(HttpCommand.stored, self._keys.values()), len(self._keys))

    def _remember(self, command: HttpCommand) -> None:
        self._keys[command.key] = command
        self._keys_of[command.program] += 1
        self._keyed[command.command_id] = command

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


def _hash(*parts: str) -> bytes:
    # Each part is preceded by its length, so that different parts never give the same bytes.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
