# SPDX-License-Identifier: BSD-3-Clause
"""The accounts that all brokers of a cluster share, in the schema `pyaiot_accounts` of a database.

Each broker has a copy in memory. A change is made under a lock and on the current rows of the
database, so that an invitation is used only once and limits hold for all brokers together. The
other brokers are notified.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import asyncpg

from pyaiot.accounts.mirror import AccountRow, AccountsMirror
from pyaiot.accounts.store import AccountsFile
from pyaiot.errors import OperatorError, reason_of
from pyaiot.postgres import migrate

CONNECT_LIMIT_S: Final = 5.0
"""Timeout for connecting to the server."""
CALL_LIMIT_S: Final = 5.0
"""Timeout for a change, or for a check for changes. After it the connection is closed."""
RETRY_S: Final = 1.0
"""Interval between attempts to connect."""
LOOK_INTERVAL_S: Final = 5.0
"""Interval of the check for changes without a notification, which also detects a dead server."""
REMOVED_LIFE_S: Final = 3600
"""How long a removed row is kept as a marker. A broker that was disconnected for longer loads
everything again.
"""
CHANGE_LOCK: Final = 0x41694143
"""Advisory lock for changing accounts."""
_CHANNEL: Final = "pyaiot_accounts"

MIGRATIONS: Final = (
    (
        # `revision` orders the changes. `body` is NULL if the row was removed.
        "CREATE SEQUENCE revision",
        """
        CREATE TABLE entry (
            kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
            revision bigint NOT NULL UNIQUE DEFAULT nextval('pyaiot_accounts.revision'), body text,
            changed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (kind, key)
        )
        """,
    ),
)
"""Statements that migrate each version to the next. Append only."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class SharedAccounts(AccountsMirror):
    """Shared accounts. The constructor does not connect; `running` does."""

    is_shared = True

    def __init__(self, url: str, name: str) -> None:
        """`name`: the URL without its password, for messages."""
        super().__init__()
        self.problem = f"The accounts in {name} are not loaded yet."
        self.failure = "not connected yet"
        """Why accounts can be neither changed nor updated now; empty if they can."""
        self._url = url
        self._name = name
        self._server: Any = None
        self._revision = 0
        """Revision of the latest change that was applied here."""
        self._lock = asyncio.Lock()
        """Held while the connection, or the transaction in memory, is in use."""
        self._looking: asyncio.Task[bool] | None = None
        self._notified = asyncio.Event()

    async def check(self) -> str:
        """For `/readyz`."""
        return self.failure

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Context manager: keep the copy up to date, and reconnect to a server that cannot be
        reached.
        """
        await self._attempt()
        task = asyncio.create_task(self._run(), name="accounts in the database")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._disconnect()

    async def change(self, operation: Callable[[AccountsFile], T]) -> T:
        async with self._lock:
            if self._server is None:
                raise self._error(self.failure)
            async with self._translated(), asyncio.timeout(CALL_LIMIT_S), self._changing():
                return operation(self)

    async def look(self) -> bool:
        # Requests with an unknown secret share one query.
        if self._server is None:
            return False
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="look for changed accounts")
        return await asyncio.shield(self._looking)

    # -- the connection -------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect and load everything. Raises `OperatorError`."""
        async with self._lock, self._translated():
            async with asyncio.timeout(CONNECT_LIMIT_S):
                self._server = await asyncpg.connect(
                    self._url,
                    command_timeout=CALL_LIMIT_S,
                    server_settings={
                        "search_path": "pyaiot_accounts",
                        "application_name": "Pyaiot accounts",
                        "synchronous_commit": "on",
                    },
                )
            self._server.add_termination_listener(lambda _db: self._notified.set())
            await self._server.add_listener(_CHANNEL, lambda *_: self._notified.set())
            async with self._server.transaction():
                await self._take_lock()
                await migrate(self._server, "pyaiot_accounts", MIGRATIONS, _newer_schema)
                await self._load()
        if self.failure:
            self.failure = ""

    def _disconnect(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server = None

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL_S):
                    await self._notified.wait()
            self._notified.clear()
            if self._server is None:
                await self._attempt()
            else:
                await self._look()
            if self._server is None:
                await asyncio.sleep(RETRY_S)
                self._notified.set()

    async def _attempt(self) -> None:
        before = self.failure
        try:
            await self.connect()
        except OperatorError as error:
            if str(error) != before:
                log.warning("%s Those in memory are used until then.", error)
        else:
            log.info("the accounts in %s are loaded", self._name)

    async def _look(self) -> bool:
        """Apply changes by others. Returns whether there were any."""
        try:
            async with self._lock:
                if self._server is None:
                    return False
                async with self._translated(), asyncio.timeout(CALL_LIMIT_S):
                    return await self._catch_up()
        except OperatorError as error:
            log.warning("%s Those in memory are used until then.", error)
            return False

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Close the connection after an error, because the state of its transaction is unknown."""
        try:
            yield
        except OperatorError:
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            self._disconnect()
            text = reason_of(error) if str(error) else "the server does not answer"
            self.failure = str(self._error(text))
            raise self._error(text) from error
        except BaseException:
            self._disconnect()
            self._notified.set()
            raise

    def _error(self, text: str) -> OperatorError:
        if text.startswith("The accounts in "):
            return OperatorError(text)
        return OperatorError(f"The accounts in {self._name} cannot be used: {text.rstrip('.')}.")

    # -- rows -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """Context manager: changes in the block are stored when it ends; none of them if it
        raises.
        """
        database = self._server.transaction()
        await database.start()
        try:
            await self._take_lock()
            await self._catch_up()
            with self.transaction():
                yield
                # The copy follows the database, never the other way round.
                revision = await self._store(self.changed_rows())
                await database.commit()
            self._revision = max(self._revision, revision)
        except OperatorError:
            await database.rollback()
            raise

    async def _take_lock(self) -> None:
        await self._server.execute("SELECT pg_advisory_xact_lock($1)", CHANGE_LOCK)

    async def _load(self) -> None:
        rows = await self._server.fetch(
            "SELECT kind, key, body, revision FROM entry ORDER BY revision"
        )
        self.load((row["kind"], row["key"], row["body"]) for row in rows)
        self._revision = rows[-1]["revision"] if rows else 0

    async def _catch_up(self) -> bool:
        rows = await self._server.fetch(
            "SELECT kind, key, body, revision FROM entry WHERE revision > $1 ORDER BY revision",
            self._revision,
        )
        if rows:
            self.apply((row["kind"], row["key"], row["body"]) for row in rows)
            self._revision = rows[-1]["revision"]
        return bool(rows)

    async def _store(self, rows: list[AccountRow]) -> int:
        """Store rows. Returns the revision of the last one."""
        if not rows:
            return 0
        await self._server.executemany(
            "INSERT INTO entry (kind, key, body) VALUES ($1, $2, $3) ON CONFLICT (kind, key)"
            " DO UPDATE SET body = excluded.body, changed_at = now(),"
            " revision = excluded.revision",
            rows,
        )
        await self._server.execute(
            "DELETE FROM entry WHERE body IS NULL AND changed_at < now() - $1 * interval '1 s'",
            REMOVED_LIFE_S,
        )
        await self._server.execute(f"NOTIFY {_CHANNEL}")
        return int(await self._server.fetchval("SELECT max(revision) FROM entry") or 0)


@contextlib.contextmanager
def changing_once(url: str, name: str) -> Iterator[AccountsFile]:
    """All accounts, for a command. Changes in the block are stored when it ends, unless it raises.
    Other brokers wait meanwhile, so the block must not wait for anything. Raises `OperatorError`.
    """
    with asyncio.Runner() as runner:
        accounts = SharedAccounts(url, name)
        stack = contextlib.AsyncExitStack()

        async def begin() -> None:
            await accounts.connect()
            await stack.enter_async_context(accounts._translated())
            await stack.enter_async_context(accounts._changing())

        try:
            runner.run(begin())
            try:
                yield accounts
            except BaseException as error:
                if not runner.run(stack.__aexit__(type(error), error, error.__traceback__)):
                    raise
            else:
                runner.run(stack.aclose())
        finally:
            accounts._disconnect()
            accounts.close()


def _newer_schema(problem: str) -> OperatorError:
    return OperatorError(f"The accounts cannot be used: {problem}. Update this one.")
