# SPDX-License-Identifier: BSD-3-Clause
"""The audit log in a database returns what the files return, whichever broker recorded it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyaiot.audit.database import AuditDatabase
from pyaiot.audit.entry import COMMAND_LINE, AuditEntry, Principal, entries
from pyaiot.audit.files import AuditFiles, AuditFilter
from pyaiot.audit.log import AuditLog, AuditStore
from pyaiot.errors import reason_of
from tests.history.postgres_server import Server, drop_schema, execute, running_server

pytestmark = pytest.mark.programs

ADA = Principal("user:ada", "192.0.2.1")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


@pytest.fixture
def database(server: Server) -> Iterator[AuditDatabase]:
    drop_schema(server.url, "pyaiot_audit")
    it = database_at(server)
    yield it
    it.close()


def database_at(server: Server, *, bytes_max: int = 3_000_000, days: float = 365) -> AuditDatabase:
    return AuditDatabase(server.url, "postgresql://test", bytes_max=bytes_max, days=days)


def some_entries() -> list[AuditEntry]:
    made: list[AuditEntry] = []
    for number in range(30):
        who = ADA if number % 3 else COMMAND_LINE
        made += entries(
            *(who, ("edit", "command", "invite")[number % 3]),
            ("ok", "refused", "confirmed")[number % 3],
            ts=1000.0 + number,
            uids=[f"n{number % 7}"],
        )
    return made


def pages(store: AuditStore, wanted: AuditFilter) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    cursor: str | None = ""
    while cursor is not None:
        page, cursor = store.page(wanted, 7, cursor)
        found += page
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        AuditFilter(),
        AuditFilter(who="ada"),
        AuditFilter(who="user:ada", action="command"),
        AuditFilter(who="local"),
        AuditFilter(who="user"),
        AuditFilter(uid="n3"),
        AuditFilter(results=frozenset({"refused", "ok"}), start=1005.0, end=1020.0),
    ],
)
def test_a_query_finds_what_it_finds_in_files(
    database: AuditDatabase, tmp_path: Path, wanted: AuditFilter
) -> None:
    files = AuditFiles(tmp_path / "audit", bytes_max=3_000_000, days=365)
    for entry in some_entries():
        database.append([entry])
        files.append([entry])
    assert pages(database, wanted) == pages(files, wanted)


def test_brokers_share_the_log(server: Server, database: AuditDatabase) -> None:
    other = database_at(server)
    first, second = some_entries()[:2]
    database.append([first])
    other.append([second])
    assert pages(database, AuditFilter()) == pages(other, AuditFilter()) == [second, first]
    other.close()


def test_entries_beyond_the_share_and_the_days_are_removed(
    server: Server, database: AuditDatabase
) -> None:
    database.append(some_entries())
    execute(
        server.url, "UPDATE pyaiot_audit.entry SET recorded_at = now() - interval '2 d' WHERE id<3"
    )
    short = database_at(server, bytes_max=3 * 500 * 5, days=1)
    short.remove_expired(0.0, 0.0, pause_s=0.0)
    short.close()
    left = pages(database, AuditFilter())
    assert len(left) == 15
    assert min(entry.ts for entry in left) > 1001.0


def test_text_that_the_database_cannot_store_is_found_again(database: AuditDatabase) -> None:
    database.append(entries(ADA, "edit", ts=1.0, uids=["a\x00b"], detail="x\x00y"))
    (found,) = pages(database, AuditFilter(uid="a\x00b"))
    assert (found.uids, found.detail) == (("a\x00b",), "x\x00y")


def test_a_server_that_fails_is_an_error_and_is_tried_again(
    server: Server, database: AuditDatabase
) -> None:
    database.append(some_entries()[:1])
    server.stop()
    try:
        with pytest.raises(OSError, match="postgresql://test: ") as failed:
            database.append(some_entries()[1:2])
        assert reason_of(failed.value).startswith("postgresql://test: ")
    finally:
        server.start()
    database.append(some_entries()[1:2])
    assert len(pages(database, AuditFilter())) == 2


def test_a_log_in_a_database_ends_while_the_loop_of_its_broker_runs(
    database: AuditDatabase,
) -> None:
    async def run() -> None:
        log = AuditLog(database, unix_time=lambda: 1000.0, clock=asyncio.get_running_loop().time)
        async with log.running():
            log.record(ADA, "edit", uids=["n1"])

    asyncio.run(run())
    assert len(pages(database, AuditFilter())) == 1


def test_a_schema_of_a_newer_version_is_refused(server: Server, database: AuditDatabase) -> None:
    database.check()
    execute(server.url, "INSERT INTO pyaiot_audit.version VALUES (99)")
    newer = database_at(server)
    with pytest.raises(OSError, match="newer Pyaiot"):
        newer.check()
    newer.close()
