# SPDX-License-Identifier: BSD-3-Clause
"""The file of the `Idempotency-Key`s. It prevents commands from being repeated after a restart.

Each line is a JSON object: a command before it is sent, or the end of a command. The file is not
synchronised to disk: after a power failure, the keys of the last seconds may be missing. Keys,
nodes and payloads are stored as hashes where that is sufficient.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

import msgspec

from pyaiot.errors import PyaiotError
from pyaiot.messages import Receipt, ReceiptState

LINES_SPARE: Final = 10_000
"""Number of lines beyond two for each key at which the file is rewritten."""
_HEADER: Final = b'{"file":"Idempotency keys of Pyaiot","version":1}\n'
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL

log = logging.getLogger(__name__)


class KeyedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command with a key."""

    id: str
    program: str
    uid: str
    resource: str
    ts: float
    """Unix time at which it was issued."""
    key: bytes
    fingerprint: bytes
    receipt: Receipt | None = None


class _Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a command. Without a state, the command was never sent, and its key is free."""

    ended: str
    state: ReceiptState | None = None
    detail: str = ""
    elapsed_ms: float = 0.0


class KeysUnavailable(PyaiotError):
    """The keys of the other brokers cannot be read now."""


class KeyStore(Protocol):
    """Stores commands with keys across restarts. See `IdempotencyFile`."""

    def read(self) -> Iterator[KeyedCommand]: ...

    def add(self, command: KeyedCommand) -> None: ...

    def end(self, command_id: str, receipt: Receipt | None) -> None: ...

    def compact(self, commands: Iterable[KeyedCommand], count: int) -> None: ...


class SharedKeyStore(KeyStore, Protocol):
    """A store that several brokers share. See `IdempotencyDatabase`."""

    async def claim(self, command: KeyedCommand, timeout_s: float) -> KeyedCommand | None: ...

    async def find(self, command_id: str) -> tuple[KeyedCommand, bool] | None: ...


class IdempotencyFile:
    """The stored commands with keys of one broker."""

    def __init__(self, path: Path | None) -> None:
        """None: nothing is stored."""
        self._path = path
        self._lines = 0
        self._failed = False

    def read(self) -> Iterator[KeyedCommand]:
        """The commands in the file, in the order in which they were issued. A damaged line, for
        example after a crash, is skipped. If the file cannot be read, nothing is stored and a
        warning is logged."""
        found: dict[str, KeyedCommand] = {}
        try:
            lines = self._open_lines()
        except (OSError, ValueError) as error:
            log.warning(
                "Idempotency keys cannot be kept in %s (%s): a restart forgets them",
                self._path,
                getattr(error, "strerror", None) or "it is another file",
            )
            self._path = None
            return
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                if line.startswith(b'{"ended"'):
                    _end(found, _ended.decode(line))
                else:
                    command = _command.decode(line)
                    found[command.id] = command
        self._lines = len(lines)
        yield from found.values()

    def add(self, command: KeyedCommand) -> None:
        """Store a command, before it is sent."""
        self._append(_encode(command))

    def end(self, command_id: str, receipt: Receipt | None) -> None:
        """Store the receipt of a command; None if the command was not sent."""
        if receipt is None:
            self._append(_encode(_Ended(command_id)))
        else:
            ended = _Ended(command_id, receipt.state, receipt.detail, receipt.elapsed_ms)
            self._append(_encode(ended))

    def compact(self, commands: Iterable[KeyedCommand], count: int) -> None:
        """Rewrite the file if most of its lines belong to forgotten commands. `count`: the number
        of remembered commands."""
        if self._path is None or self._lines <= 2 * count + LINES_SPARE:
            return
        lines = [_HEADER, *(_encode(command) + b"\n" for command in commands)]
        beside = self._path.with_name(self._path.name + ".new")
        try:
            beside.unlink(missing_ok=True)
            with os.fdopen(os.open(beside, _FLAGS, 0o600), "wb") as file:
                file.writelines(lines)
            beside.replace(self._path)
        except OSError as error:
            self._report(error)
        else:
            self._lines = len(lines)

    def _open_lines(self) -> list[bytes]:
        if self._path is None:
            return []
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            contextlib.suppress(FileExistsError),
            os.fdopen(os.open(self._path, _FLAGS, 0o600), "wb") as file,
        ):
            file.write(_HEADER)
        content = self._path.read_bytes()
        if content and not content.startswith(_HEADER):
            raise ValueError
        if content and not content.endswith(b"\n"):
            with self._path.open("ab") as file:
                file.write(b"\n")  # ends a line that a crash truncated
        return content.splitlines()[1:]

    def _append(self, line: bytes) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                if not file.tell():
                    file.write(_HEADER)  # the file was removed
                file.write(line + b"\n")
        except OSError as error:
            self._report(error)
        else:
            self._lines += 1
            self._failed = False

    def _report(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            log.warning(
                "Idempotency keys cannot be written to %s (%s): a restart forgets them",
                self._path,
                error.strerror,
            )


def _end(found: dict[str, KeyedCommand], ended: _Ended) -> None:
    command = found.get(ended.ended)
    if command is None:
        return
    if ended.state is None:
        del found[ended.ended]
        return
    receipt = Receipt(
        id=command.id, state=ended.state, detail=ended.detail, elapsed_ms=ended.elapsed_ms
    )
    found[ended.ended] = msgspec.structs.replace(command, receipt=receipt)


_encode: Final = msgspec.json.Encoder().encode
_command: Final = msgspec.json.Decoder(KeyedCommand)
_ended: Final = msgspec.json.Decoder(_Ended)
