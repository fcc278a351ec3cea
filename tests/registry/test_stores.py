# SPDX-License-Identifier: BSD-3-Clause
"""The stores behind one interface: SQLite, and PostgreSQL as a real server."""

import contextlib
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyaiot.errors import OperatorError
from pyaiot.messages import Reading
from pyaiot.model import ResourceType
from pyaiot.registry import store as store_module
from pyaiot.registry.last_values import encode_values
from pyaiot.registry.postgres import PostgresStore
from pyaiot.registry.record import Annotations, NodeRecord, edited_row, observed_row
from pyaiot.registry.refusals import StaleRevision
from pyaiot.registry.sqlite import APPLICATION_ID, MIGRATIONS, SqliteStore
from pyaiot.registry.store import (
    CHECKED_NODES,
    Changes,
    RegistryStore,
    RegistryStoreError,
    WrittenNodes,
)
from pyaiot.registry.stores import store_at
from pyaiot.registry.turns import EDIT_ATTEMPTS, repeat_if_stale
from tests.history.postgres_server import drop_schema, execute, running_server

TS = 1_800_000_000.0
LABEL = Annotations(label="Lamp", room="Hall", latitude=1.5, longitude=-2.5, tags=("a", "é"))
TYPED = Annotations(types={"speed": ResourceType(kind="number", maximum=5, source="people")})
DESCRIBED = {"é": ResourceType(kind="enum", choices=("a", "b"), source="metadata")}


def observed(record: NodeRecord) -> tuple[object, ...]:
    return (*observed_row(record), record.values.decode())


def node(uid: str, **fields: object) -> NodeRecord:
    return NodeRecord(uid=uid, **fields)  # type: ignore[arg-type]


@contextlib.contextmanager
def opened(store: RegistryStore) -> Iterator[list[NodeRecord]]:
    records = store.open()
    try:
        yield records
    finally:
        store.close()


def content(store: RegistryStore) -> dict[str, NodeRecord]:
    with opened(store) as records:
        return {record.uid: record for record in records}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as running:
        yield running.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.programs)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a registry."""
    if request.param == "sqlite":
        return str(tmp_path / "deep" / "registry.db")
    url: str = request.getfixturevalue("server")
    drop_schema(url, "pyaiot_registry")
    return url


# -- both -----------------------------------------------------------------------------------------


def test_types_of_resources_are_there_after_a_restart(location: str) -> None:
    record = node("n", revision=1, annotations=TYPED, described=DESCRIBED)
    store = store_at(location)
    with opened(store):
        store.write(Changes(observed=[observed(record)], edited=[edited_row(record)]))
    assert content(store_at(location)) == {"n": record}


def remove_all_nodes(location: str) -> None:
    """As another program may do it."""
    if "://" in location:
        execute(location, "TRUNCATE pyaiot_registry.node")
        return
    with contextlib.closing(sqlite3.connect(location)) as db, db:
        db.execute("DELETE FROM node")


def test_check_finds_that_nodes_are_no_longer_there(location: str) -> None:
    store = store_at(location)
    with opened(store):
        store.check()
        store.write(Changes(observed=[observed(node("a")), observed(node("b"))]))
        store.write(Changes(removed=["b"]))
        store.check()
        store.write(Changes(edited=[edited_row(node("a"))]))
        store.check()
        remove_all_nodes(location)
        with pytest.raises(RegistryStoreError, match="no longer there"):
            store.check()


def test_check_finds_that_an_edited_node_was_lost_and_written_again(location: str) -> None:
    store = store_at(location)
    edited = node("a", revision=1, annotations=LABEL)
    with opened(store):
        store.write(Changes(observed=[observed(edited)], edited=[edited_row(edited)]))
        others = [node(f"n{number}") for number in range(20)]
        store.write(Changes(observed=[observed(it) for it in others]))
        store.check()
        remove_all_nodes(location)
        store.write(Changes(observed=[observed(it) for it in (edited, *others)]))
        with pytest.raises(RegistryStoreError, match="no longer there"):
            store.check()


def test_edited_nodes_are_checked_rather_than_others() -> None:
    written = WrittenNodes()
    written.written(Changes(observed=[observed(node(f"n{number}")) for number in range(20)]))
    assert len(written.uids) == CHECKED_NODES
    for number in range(20):
        written.written(Changes(edited=[edited_row(node(f"e{number}", revision=2))]))
    assert written.uids == [f"e{number}" for number in range(CHECKED_NODES)]
    written.written(Changes(removed=written.uids[1:]))
    assert written.uids == ["e0"]
    written.read([node("x"), *(node(f"e{number}", revision=1) for number in range(100))])
    assert 0 < len(written.uids) <= CHECKED_NODES
    assert "x" not in written.uids


def test_check_knows_the_nodes_of_before(location: str) -> None:
    store = store_at(location)
    with opened(store):
        store.write(Changes(observed=[observed(node("a"))]))
    with opened(store):
        remove_all_nodes(location)
        with pytest.raises(RegistryStoreError, match="no longer there"):
            store.check()


def test_what_was_written_is_there_after_a_restart(location: str) -> None:
    record = node(
        "n",
        protocol="CoAP",
        gateway="g",
        first_seen=TS,
        last_seen=TS + 0.125,
        boots=3,
        reason="silent",
        admission="banned",
        revision=7,
        annotations=LABEL,
        values=encode_values([Reading.received("n", "t", "21°C", TS)]),
    )
    with opened(store_at(location)) as records:
        assert records == []
    store = store_at(location)
    with opened(store):
        store.write(Changes(observed=[observed(record)], edited=[edited_row(record)]))
    assert content(store_at(location)) == {"n": record}


def test_observations_and_edits_leave_each_other_alone(location: str) -> None:
    store = store_at(location)
    with opened(store):
        store.write(Changes(edited=[edited_row(node("n", revision=1, annotations=LABEL))]))
        store.write(Changes(observed=[observed(node("n", gateway="g", last_seen=TS))]))
        store.write(Changes(edited=[edited_row(node("n", revision=2))]))
        store.write(Changes(observed=[observed(node("m"))]))
    found = content(store_at(location))
    assert (found["n"].gateway, found["n"].revision, found["n"].annotations.label) == ("g", 2, "")
    assert list(found) == ["n", "m"]


def test_removals_come_before_what_is_written(location: str) -> None:
    store = store_at(location)
    with opened(store):
        rows = [observed(node(uid)) for uid in "abc"]
        store.write(Changes(observed=rows))
        store.write(Changes(observed=[observed(node("a"))], removed=["a", "b", "unknown"]))
    assert list(content(store_at(location))) == ["c", "a"]


def test_transaction_is_written_whole_or_not_at_all(location: str) -> None:
    store = store_at(location)
    with opened(store):
        store.write(Changes(observed=[observed(node("before"))]))
        bad = list(observed(node("bad")))
        bad[4] = None  # last_seen
        with pytest.raises(RegistryStoreError):
            store.write(Changes(observed=[observed(node("good")), tuple(bad)], removed=["before"]))
        store.write(Changes(observed=[observed(node("after"))]))
    assert list(content(store_at(location))) == ["before", "after"]


def test_second_writer_is_refused_until_the_first_ends(location: str) -> None:
    first, second = store_at(location), store_at(location)
    with opened(first):
        with pytest.raises(RegistryStoreError, match="another Pyaiot writes"):
            second.open()
        first.write(Changes(observed=[observed(node("n"))]))
    assert list(content(second)) == ["n"]


def test_store_that_is_not_open_is_refused(location: str) -> None:
    store = store_at(location)
    with pytest.raises(RegistryStoreError, match="is not open"):
        store.write(Changes())
    store.close()


def test_file_of_a_newer_version_is_left_alone(location: str) -> None:
    with opened(store_at(location)):
        pass
    if location.startswith("postgres"):
        execute(location, "INSERT INTO pyaiot_registry.version VALUES (99)")
    else:
        with contextlib.closing(sqlite3.connect(location)) as db:
            db.execute("PRAGMA user_version = 99")
    with pytest.raises(RegistryStoreError, match="version 99, was written by a newer Pyaiot"):
        store_at(location).open()


def test_row_that_pyaiot_did_not_write_is_an_error(location: str) -> None:
    store = store_at(location)
    with opened(store):
        store.write(Changes(observed=[observed(node("n"))]))
    statement = "UPDATE {} SET tags = 'no json'"
    if location.startswith("postgres"):
        execute(location, statement.format("pyaiot_registry.node"))
    else:
        with contextlib.closing(sqlite3.connect(location, isolation_level=None)) as db:
            db.execute(statement.format("node"))
    with pytest.raises(RegistryStoreError, match=r"is damaged|is not valid"):
        store_at(location).open()


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE node; --", "\U0001f600", "é" * 64, '"', "a\\u0000"]
)
def test_text_is_only_text(location: str, text: str) -> None:
    store = store_at(location)
    record = node(text[:64], annotations=Annotations(label=text[:64], notes=text), revision=1)
    values = encode_values([Reading.received("n", text[:64], text + "\0", TS)])
    record.values = values
    with opened(store):
        store.write(Changes(observed=[observed(record)], edited=[edited_row(record)]))
    assert content(store) == {record.uid: record}


def test_values_of_a_huge_store_fit_into_memory(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = encode_values([Reading.received("n", "t", "x" * 5000, TS)])
    small = encode_values([Reading.received("n", "t", "x", TS)])
    store = store_at(location)
    with opened(store):
        rows = [observed(node(f"n{n}", values=values)) for n in range(10)]
        store.write(Changes(observed=[*rows, observed(node("small", values=small))]))
    monkeypatch.setattr(store_module, "VALUES_MAX", 4 * len(values))
    found = content(store)
    assert [uid for uid, it in found.items() if it.values != b"[]"] == [
        "n0",
        "n1",
        "n2",
        "n3",
        "small",
    ]
    monkeypatch.setattr(store_module, "VALUES_OF_NODE_MAX", 4000)
    assert [uid for uid, it in content(store).items() if it.values != b"[]"] == ["small"]


# -- a file ---------------------------------------------------------------------------------------


def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "registry.db"
    with opened(SqliteStore(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(RegistryStoreError, match="a database of another program"):
        SqliteStore(path).open()
    assert path.read_bytes()[100:] == before[100:]
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_database_of_another_program_keeps_its_journal_mode(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(RegistryStoreError, match="a database of another program"):
        SqliteStore(path).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", [lambda _data: b"no database" * 500, lambda data: data[:5000]])
def test_damaged_file_is_reported(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "registry.db"
    store = SqliteStore(path)
    with opened(store):
        store.write(Changes(observed=[observed(node(f"n{n}")) for n in range(500)]))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RegistryStoreError, match="the file is damaged: move it away"):
        store.open()


def test_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryStoreError, match=r"registry\.db"):
        SqliteStore(tmp_path / "file" / "registry.db").open()


def test_read_only_file_system_is_reported(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "registry.db")
    with opened(store):
        store.write(Changes(observed=[observed(node("n"))]))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RegistryStoreError, match=r"registry\.db: .*Read-only|cannot be written"):
        store.open()


def test_application_id_marks_the_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with opened(SqliteStore(path)):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "taken",
    [Path.unlink, lambda path: shutil.rmtree(path.parent), lambda path: path.rename(f"{path}2")],
)
def test_removed_file_is_noticed_at_the_next_check_and_write(
    tmp_path: Path, taken: Callable[[Path], object]
) -> None:
    path = tmp_path / "deep" / "registry.db"
    store = SqliteStore(path)
    with opened(store):
        store.write(Changes(observed=[observed(node("a"))]))
        taken(path)
        with pytest.raises(RegistryStoreError, match="deleted or replaced"):
            store.check()
        with pytest.raises(RegistryStoreError, match="deleted or replaced"):
            store.write(Changes(observed=[observed(node("b"))]))
    assert content(store) == {}


# -- which store ----------------------------------------------------------------------------------


def test_url_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(OperatorError, match="--registry takes") as refused:
        store_at("mysql://me:secret@host/db")
    assert "secret" not in str(refused.value)


def test_postgres_url_is_shown_without_its_password() -> None:
    assert store_at("postgresql://me:secret@host:5432/db").name == "postgresql://me@host:5432/db"
    with pytest.raises(OperatorError, match="is not valid") as refused:
        store_at("postgresql://me:sec/ret@host/db")
    assert "ret" not in str(refused.value).replace("registry", "")


def test_server_that_is_away_is_reported_without_its_password() -> None:
    store = store_at("postgresql://me:secret@127.0.0.1:1/db")
    with pytest.raises(RegistryStoreError, match=r"127\.0\.0\.1") as refused:
        store.open()
    assert "secret" not in str(refused.value)


def test_documents_are_there_after_a_restart(location: str) -> None:
    store = store_at(location)
    with opened(store):
        store.write(Changes(documents=[("view", "a", "1"), ("view", "b", "2")]))
        store.write(Changes(documents=[("view", "a", '{"x":"é"}'), ("view", "b", None)]))

    with opened(store):
        assert store.documents() == [("view", "a", '{"x":"é"}')]


@pytest.mark.programs
def test_of_two_edits_at_two_brokers_the_later_one_is_refused(server: str) -> None:
    drop_schema(server, "pyaiot_registry")
    first, second = (PostgresStore(server, is_shared=True) for _ in range(2))
    with opened(first), opened(second):
        ours = node("a", annotations=LABEL, revision=1)
        theirs = node("a", annotations=Annotations(label="Other"), revision=1)
        first.write(Changes(edited=[edited_row(ours)]))
        with pytest.raises(StaleRevision, match="edited at another broker"):
            second.write(Changes(edited=[edited_row(theirs)]))
        first.write(Changes(edited=[edited_row(ours)]))  # after a lost connection
        theirs.revision = 2
        second.write(Changes(edited=[edited_row(theirs)]))
    assert content(PostgresStore(server))["a"].annotations.label == "Other"


async def test_an_edit_without_a_revision_is_repeated_until_it_is_the_latest() -> None:
    stale = iter([True, True, False])

    async def edit() -> str:
        if next(stale):
            raise StaleRevision("x")
        return "edited"

    assert await repeat_if_stale(edit) == "edited"


async def test_an_edit_is_repeated_a_limited_number_of_times() -> None:
    attempts = 0

    async def edit() -> None:
        nonlocal attempts
        attempts += 1
        raise StaleRevision("x")

    with pytest.raises(StaleRevision):
        await repeat_if_stale(edit)
    assert attempts == EDIT_ATTEMPTS
