# SPDX-License-Identifier: BSD-3-Clause
"""The `Idempotency-Key`s of all brokers of a cluster, in the schema `pyaiot_keys` of a database.

A key is claimed before its command is sent, so only one broker sends it. The receipt is stored when
it arrives.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from pyaiot.messages import Receipt
from pyaiot.postgres import migrate
from pyaiot.web.api.idempotency_file import KeyedCommand, KeysUnavailable

KEY_LIFE_S: Final = 24 * 3600.0
"""How long a key is remembered, by the clock of the server."""
LATE_S: Final = 2.0
"""How long the broker of a command may take to store the receipt after the deadline."""
CONNECT_LIMIT_S: Final = 5.0
"""Longest time for the server to accept a connection."""
CALL_LIMIT_S: Final = 5.0
"""Longest time of one statement. After that the connection is closed."""
RETRY_S: Final = 1.0
"""Interval between attempts to store receipts."""
RECEIPTS_WAITING_MAX: Final = 50_000
"""Largest number of receipts that wait while the server fails. Beyond it the oldest is not stored:
at the other brokers, the command ends as a timeout."""
PURGE_INTERVAL: Final = 1000
"""Number of claims between two deletions of old keys."""
SCHEMA_LOCK: Final = 0x41694B45
"""The advisory lock that serialises migrations of the schema."""

MIGRATIONS: Final = (
    (
        # `body` is a `KeyedCommand`. A command without a receipt after `ends_at` is a timeout.
        """
        CREATE TABLE keyed (
            key bytea PRIMARY KEY, id text NOT NULL UNIQUE, body text NOT NULL,
            issued_at timestamptz NOT NULL DEFAULT now(), ends_at timestamptz NOT NULL
        )
        """,
        "CREATE INDEX keyed_issued ON keyed (issued_at)",
    ),
)
"""Statements that migrate each version to the next. Append only."""

T = TypeVar("T")

_CLAIM: Final = """
    INSERT INTO keyed (key, id, body, ends_at) VALUES ($1, $2, $3, now() + $4 * interval '1 s')
    ON CONFLICT (key) DO UPDATE SET id = excluded.id, body = excluded.body, issued_at = now(),
    ends_at = excluded.ends_at WHERE keyed.issued_at < now() - $5 * interval '1 s'
    RETURNING id
"""

log = logging.getLogger(__name__)


class IdempotencyDatabase:
    """The constructor does not connect. Must be used on the event loop of the broker."""

    def __init__(self, url: str, name: str) -> None:
        """`name`: the URL without its password, for logs."""
        self._url = url
        self._name = name
        self._db: Any = None
        self._lock = asyncio.Lock()
        self._ended: OrderedDict[str, Receipt | None] = OrderedDict()
        """Ends of commands that are not stored yet; None if the command was not sent."""
        self._wanted = asyncio.Event()
        self._claims = 0
        self._failed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store receipts until the block ends."""
        task = asyncio.create_task(self._run(), name="idempotency keys")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._store()
            self._disconnect()

    async def claim(self, command: KeyedCommand, timeout_s: float) -> KeyedCommand | None:
        """Claim a key before its command is sent. Returns None if it was claimed, otherwise the
        command that has the key, perhaps of another broker. Raises `KeysUnavailable`."""

        # The key may be one whose release is still queued.
        if self._ended and not await self._store():
            raise KeysUnavailable(f"{self._name} fails")

        async def claim(db: Any) -> KeyedCommand | None:
            self._claims += 1
            if self._claims % PURGE_INTERVAL == 1:
                await db.execute(
                    "DELETE FROM keyed WHERE issued_at < now() - $1 * interval '1 s'", KEY_LIFE_S
                )
            body = _encode(command).decode()
            arguments = (command.key, command.id, body, timeout_s + LATE_S, KEY_LIFE_S)
            for _ in range(2):  # the key may be released between the two statements
                if await db.fetchval(_CLAIM, *arguments) is not None:
                    return None
                row = await db.fetchrow("SELECT body FROM keyed WHERE key = $1", command.key)
                if row is not None:
                    return _decode(row["body"])
            raise KeysUnavailable("the key is being given back")

        return await self._call(claim)

    async def find(self, command_id: str) -> tuple[KeyedCommand, bool] | None:
        """The command with this id, of any broker, and whether it ended without a receipt. Raises
        `KeysUnavailable`."""

        async def find(db: Any) -> tuple[KeyedCommand, bool] | None:
            row = await db.fetchrow(
                "SELECT body, now() > ends_at AS is_over FROM keyed WHERE id = $1", command_id
            )
            return None if row is None else (_decode(row["body"]), row["is_over"])

        return await self._call(find)

    # -- methods of `KeyStore` ---------------------------------------------------------------------

    def read(self) -> Iterator[KeyedCommand]:
        """Returns nothing: keys are looked up when they are used."""
        return iter(())

    def add(self, command: KeyedCommand) -> None:
        """Does nothing: `claim` stores the command."""

    def end(self, command_id: str, receipt: Receipt | None) -> None:
        """Store the receipt of a command; None: the command was not sent, and its key is
        released."""
        self._ended[command_id] = receipt
        if len(self._ended) > RECEIPTS_WAITING_MAX:
            self._ended.popitem(last=False)
        self._wanted.set()

    def compact(self, commands: Iterable[KeyedCommand], count: int) -> None:
        """Does nothing: `claim` deletes old keys."""

    # -- the server -----------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not await self._store():
                await asyncio.sleep(RETRY_S)
                self._wanted.set()

    async def _store(self) -> bool:
        """Store the ends of commands. Returns False if the server fails."""
        while self._ended:
            batch = list(self._ended.items())
            try:
                await self._call(partial(_store, ended=batch))
            except KeysUnavailable as error:
                if not self._failed:
                    self._failed = True
                    log.warning("receipts of keyed commands cannot be stored: %s", error)
                return False
            self._failed = False
            for command_id, _ in batch:
                self._ended.pop(command_id, None)
        return True

    async def _call(self, work: Callable[[Any], Awaitable[T]]) -> T:
        async with self._lock:
            try:
                async with asyncio.timeout(CALL_LIMIT_S):
                    return await work(await self._connected())
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                self._disconnect()
                text = str(error).splitlines()[0] if str(error) else "the server does not answer"
                raise KeysUnavailable(f"{self._name}: {text}") from error
            except asyncio.CancelledError:
                self._disconnect()  # a statement may still be running
                raise

    async def _connected(self) -> Any:
        if self._db is None or self._db.is_closed():
            self._db = await asyncpg.connect(
                self._url,
                timeout=CONNECT_LIMIT_S,
                server_settings={
                    "search_path": "pyaiot_keys",
                    "application_name": "Pyaiot idempotency keys",
                },
            )
            async with self._db.transaction():
                await self._db.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
                await migrate(self._db, "pyaiot_keys", MIGRATIONS, OSError)
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.terminate()
            self._db = None


async def _store(db: Any, ended: list[tuple[str, Receipt | None]]) -> None:
    async with db.transaction():
        for command_id, receipt in ended:
            if receipt is None:
                await db.execute("DELETE FROM keyed WHERE id = $1", command_id)
                continue
            body = await db.fetchval("SELECT body FROM keyed WHERE id = $1 FOR UPDATE", command_id)
            if body is not None:
                command = msgspec.structs.replace(_decode(body), receipt=receipt)
                await db.execute(
                    "UPDATE keyed SET body = $2 WHERE id = $1",
                    command_id,
                    _encode(command).decode(),
                )


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(KeyedCommand).decode
