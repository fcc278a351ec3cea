# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite file with the sequence numbers of OSCORE.

It is a separate module, so that SQLite is loaded only when needed.
"""

import contextlib
import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.private_database import PrivateDatabase
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.oscore.device import ContextNumbers
from pyaiot.protocols.oscore.context import SEQUENCE_NUMBERS
from pyaiot.protocols.oscore.numbers import Received, ReplayWindow, SequenceNumbers

APPLICATION_ID: Final = 0x41694F73
"""In the header of the file; identifies it as sequence numbers of Pyaiot (`AiOs`)."""
BLOCK_NUMBERS: Final = 1024
"""Number of sequence numbers that are reserved at once. Unused ones are lost with the process."""
NEW_CREDENTIAL_S: Final = 60.0
"""Age below which a credential is so new that no message with it was received before. The first
request with an older one must prove that it is new."""
LOCK_LIMIT_S: Final = 0.2
"""How long to wait for a file that another process has locked. After that it is an
`OperatorError`."""
_WINDOW_BYTES: Final = 8

MIGRATIONS: Final = (
    # A context is identified by the SHA-256 of its secret. `next` is the first sequence number that
    # was never reserved. `highest` and `below` are the replay window; NULL: a process uses it, or
    # was killed. Rows are never removed: a credential may come back from a copy of its file.
    (
        """
        CREATE TABLE context (
            secret_sha256 BLOB PRIMARY KEY, next INTEGER NOT NULL, highest INTEGER, below BLOB
        ) WITHOUT ROWID
        """,
    ),
)
"""Append only."""


class NumbersFile(PrivateDatabase):
    """Implements `NumbersStore`, for one process at a time: it keeps the file locked.

    A reserved block is on disk before a number of it is used, so that no number is used twice, also
    if the process is killed (RFC 8613, Appendix B.1.1). Raises `OperatorError` throughout.
    """

    def __init__(self, path: Path | None, unix_time: Callable[[], float]) -> None:
        """Open or create the file. None: in memory."""
        self._unix_time = unix_time
        try:
            super().__init__(path, APPLICATION_ID, MIGRATIONS, busy_limit_s=LOCK_LIMIT_S)
            with self._translated_errors():
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                with self._transaction():
                    self._db.execute("DELETE FROM context WHERE false")
        except OperatorError as error:
            if _is_locked(error):
                raise OperatorError(
                    f"Another CoAP gateway uses the file {path}: stop it, or set devices.file to"
                    " another file."
                ) from error
            raise

    def take_all(self, credentials: Sequence[DeviceCredential]) -> list[ContextNumbers]:
        """See `NumbersStore`. All in one transaction."""
        taken: list[tuple[ReplayWindow | None, int, int]] = []
        with self._translated_errors(), self._transaction():
            for credential in credentials:
                window, first = self._read(credential)
                taken.append((window, first, self._reserve(credential, first)))
        found = []
        for window, first, end in taken:
            numbers = SequenceNumbers()
            numbers.add(first, end)
            found.append(ContextNumbers(numbers, window))
        return found

    def reserve(self, credential: DeviceCredential, numbers: SequenceNumbers) -> None:
        with self._translated_errors(), self._transaction():
            _, first = self._read(credential)
            end = self._reserve(credential, first)
        numbers.add(first, end)

    def _read(self, credential: DeviceCredential) -> tuple[ReplayWindow | None, int]:
        """The replay window, and the first unreserved number."""
        row = self._db.execute(
            "SELECT next, highest, below FROM context WHERE secret_sha256 = ?", (_key(credential),)
        ).fetchone()
        if row is not None:
            first, highest, below = row
            if below is None:
                return None, first
            return ReplayWindow(Received(highest, int.from_bytes(below, "big"))), first
        # The credential is new, or its numbers were in another file, which is lost or on another
        # machine. `BLOCK_NUMBERS` for each second since its creation are more than could have been
        # used.
        age_s = self._unix_time() - credential.created_at
        if age_s >= 0:
            window = ReplayWindow() if age_s < NEW_CREDENTIAL_S else None
            return window, min(int(age_s) * BLOCK_NUMBERS, SEQUENCE_NUMBERS // 2)
        # The clock is or was wrong: a random number is unlikely to be near the previous ones.
        half = SEQUENCE_NUMBERS // 2
        return None, half + secrets.randbelow(half // 2)

    def _reserve(self, credential: DeviceCredential, first: int) -> int:
        """Reserve a block from `first`, and mark the replay window as used. Returns the end of the
        block. The numbers may be used after the transaction."""
        end = min(first + BLOCK_NUMBERS, SEQUENCE_NUMBERS)
        self._db.execute(
            "INSERT INTO context VALUES (?, ?, NULL, NULL) ON CONFLICT (secret_sha256)"
            " DO UPDATE SET next = excluded.next, highest = NULL, below = NULL",
            (_key(credential), end),
        )
        return end

    def save(self, windows: Iterable[tuple[DeviceCredential, ReplayWindow]]) -> None:
        """Store the replay windows at the end of the process. After that, only `close` may be
        called."""
        with self._translated_errors(), self._transaction():
            for credential, window in windows:
                highest, below = window.received
                self._db.execute(
                    "UPDATE context SET highest = ?, below = ? WHERE secret_sha256 = ?",
                    (highest, below.to_bytes(_WINDOW_BYTES, "big"), _key(credential)),
                )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _is_locked(error: OperatorError) -> bool:
    cause = error.__cause__
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _key(credential: DeviceCredential) -> bytes:
    return hashlib.sha256(credential.secret).digest()
