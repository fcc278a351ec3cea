# SPDX-License-Identifier: BSD-3-Clause
"""A history file: rows are read as they were written."""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from pyaiot.history import reader as reader_module
from pyaiot.history import series_index
from pyaiot.history.rows import CommandEnded, CommandIssued
from pyaiot.history.sqlite import schema
from pyaiot.history.sqlite.reader import READERS_MAX
from pyaiot.history.sqlite.writer import IDLE_STEPS, SqliteWriter
from pyaiot.history.store import (
    ROWS_MAX,
    BadQuery,
    Page,
    ReadingRow,
    RetentionPolicy,
    StoreError,
    TooManyRows,
    TooSlow,
)
from pyaiot.messages import (
    VALUE_SIZE_MAX,
    Command,
    GatewayState,
    NodeAppeared,
    NodeLeft,
    Reading,
    Receipt,
    ReceiptState,
)
from tests.history.files import (
    FOR_EVER,
    HOUR,
    exported,
    history_file,
    open_reader,
    query_store,
    run,
)


def test_readings_come_back_in_order(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("temperature", [(0.25, "20.5°C"), (2.0, "20.6°C"), (1.0, "20.7°C")])
        page = query_store(file.path, lambda h: h.readings("n", "temperature"))
        newest = query_store(file.path, lambda h: h.readings("n", "temperature", newest_first=True))
    assert page.whole() == [
        ReadingRow(HOUR + 0.25, 20.5, "Cel"),
        ReadingRow(HOUR + 1.0, 20.7, "Cel"),
        ReadingRow(HOUR + 2.0, 20.6, "Cel"),
    ]
    assert newest.rows == page.rows[::-1]


def test_a_node_that_sends_text_where_it_sent_numbers_is_kept_as_it_is(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(0, "1°C"), (1, "broken"), (2, {"v": 2}), (3, "nan"), (4, "4hPa")])
        rows = query_store(file.path, lambda h: h.readings("n", "t")).whole()
    assert [(row.number, row.unit, row.data) for row in rows] == [
        (1.0, "Cel", None),
        (None, "", "broken"),
        (None, "", {"v": 2}),
        (None, "", "nan"),
        (4.0, "hPa", None),
    ]


def test_the_largest_values_are_returned_unchanged(tmp_path: Path) -> None:
    values = ["x" * VALUE_SIZE_MAX, "°" * (VALUE_SIZE_MAX // 2), ["y" * (VALUE_SIZE_MAX - 4)]]
    with history_file(tmp_path) as file:
        file.readings("text", list(enumerate(values)))
        rows = query_store(file.path, lambda h: h.readings("n", "text")).whole()
    assert [row.data for row in rows] == values


def test_identifiers_keep_their_digits(tmp_path: Path) -> None:
    identifiers = ["000012300007", "007", "12B", "9007199254740993", "1" * 40]
    with history_file(tmp_path) as file:
        file.readings("serial", list(enumerate([*identifiers, 2**53 + 1])))
        rows = query_store(file.path, lambda h: h.readings("n", "serial")).whole()
    assert [row.data for row in rows] == [*identifiers, "9007199254740993"]
    assert {row.number for row in rows} == {None}


def test_readings_repeated_by_a_gateway_are_stored_once(tmp_path: Path) -> None:
    again = [(0.0, "20°C")]
    with history_file(tmp_path) as file:
        file.readings("t", again)
        file.readings("t", again)
    with history_file(tmp_path) as file:  # after a restart, too
        file.readings("t", again)
        assert file.count("reading") == 1


def test_values_with_the_same_timestamp_are_all_stored(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(0.0, f"{value}°C") for value in range(5)])
        rows = query_store(file.path, lambda h: h.readings("n", "t")).whole()
    assert [row.number for row in rows] == [0, 1, 2, 3, 4]
    assert rows[-1].ts - HOUR < 0.001


def test_values_after_a_shared_timestamp_are_stored_in_order(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        tick = 1 / 1_000_000
        file.readings("t", [(1, 1), (1, 2), (1 + tick, 3), (1 + 2 * tick, 4), (1 + 9 * tick, 5)])
        rows = query_store(file.path, lambda h: h.readings("n", "t")).whole()
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]


def test_batches_of_any_size_are_written_completely(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        for count in (1, 7, 8, 63, 512, 513, 1103):
            before = file.count("reading")
            start = 10_000 * count
            file.readings("t", [(start + at, at) for at in range(count)])
            assert file.count("reading") == before + count


def test_last_returns_the_latest_reading_of_each_resource(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        for uid in ("b", "a"):
            for resource in ("led", "button"):
                for at in (1, 3, 2):
                    file.write(Reading.received(uid, resource, at, HOUR + at))
        rows = query_store(file.path, lambda h: h.last()).whole()
        of_one = query_store(file.path, lambda h: h.last("a")).whole()
        first = query_store(file.path, lambda h: h.last(limit=3))
        rest = query_store(file.path, lambda h: h.last(limit=3, cursor=first.cursor))
    assert [(row.uid, row.resource, row.reading.number) for row in rows] == [
        ("a", "button", 3.0),
        ("a", "led", 3.0),
        ("b", "button", 3.0),
        ("b", "led", 3.0),
    ]
    assert of_one == rows[:2]
    assert first.rows + rest.whole() == rows


def test_pages_return_every_row_once_while_more_are_written(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(at, at) for at in range(10)])

        async def walk(*, newest_first: bool) -> list[float]:
            found: list[float] = []
            cursor = None
            async with open_reader(file.path) as history:
                while True:
                    page: Page[ReadingRow] = await history.readings(
                        "n", "t", start=HOUR, newest_first=newest_first, limit=3, cursor=cursor
                    )
                    found += [row.number or 0.0 for row in page.rows]
                    cursor = page.cursor
                    if cursor is None:
                        return found
                    file.readings("t", [(100 + len(found), 100 + len(found))])

        assert run(walk(newest_first=True)) == list(range(9, -1, -1))
        ascending = run(walk(newest_first=False))
    assert ascending[:10] == list(range(10))
    assert len(ascending) == len(set(ascending)) == file_rows(file.path)


def file_rows(path: Path) -> int:
    db = sqlite3.connect(path)
    (count,) = db.execute("SELECT count(*) FROM reading").fetchone()
    db.close()
    return int(count)


def test_an_incomplete_result_is_an_error(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(at, at) for at in range(5)])
        page = query_store(file.path, lambda h: h.readings("n", "t", limit=4))
        assert query_store(file.path, lambda h: h.readings("n", "t", limit=5)).cursor is None
        with pytest.raises(TooManyRows, match="more than 4 rows"):
            page.whole()
        with pytest.raises(TooManyRows, match="more than 4 steps"):
            query_store(
                file.path,
                lambda h: h.buckets("n", "t", start=HOUR, end=HOUR + 60, step_s=1, limit=4),
            )
        with pytest.raises(TooManyRows, match="at most"):
            query_store(file.path, lambda h: h.readings("n", "t", limit=ROWS_MAX + 1))


@pytest.mark.parametrize("cursor", ["", "x", "[]", "{}", '["a"]', "[1.5]", "[true]", "[1, 2]"])
def test_a_cursor_of_another_query_is_refused(tmp_path: Path, cursor: str) -> None:
    with history_file(tmp_path) as file, pytest.raises(BadQuery, match="cursor"):
        query_store(file.path, lambda h: h.readings("n", "t", cursor=cursor))


def test_an_export_has_every_row(tmp_path: Path) -> None:
    chance = random.Random(1)
    written: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with history_file(tmp_path) as file:
        items = []
        for at in range(12_000):
            uid, resource = f"n{chance.randrange(5)}", f"r{chance.randrange(3)}"
            ts, value = HOUR + at / 1000, chance.uniform(-1e9, 1e9)
            written.setdefault((uid, resource), []).append((ts, value))
            items.append(Reading(uid=uid, resource=resource, data=value, ts=ts, number=value))
        file.write(*items)
        file.readings("empty", [])

        async def everything(**what: object) -> dict[tuple[str, str], list[tuple[float, float]]]:
            found: dict[tuple[str, str], list[tuple[float, float]]] = {}
            async with open_reader(file.path) as history:
                for chunk in await exported(history, **what):
                    rows = [(row.ts, row.number or 0.0) for row in chunk.rows]
                    found.setdefault((chunk.uid, chunk.resource), []).extend(rows)
            return found

        assert run(everything()) == written
        of_node = {key: rows for key, rows in written.items() if key[0] == "n3"}
        assert run(everything(uid="n3")) == of_node
        of_both = {key: rows for key, rows in of_node.items() if key[1] == "r1"}
        assert run(everything(uid="n3", resource="r1")) == of_both
        assert run(everything(uid="none")) == {}
        part = run(everything(start=HOUR + 3, end=HOUR + 5))
    inside = {
        key: [row for row in rows if HOUR + 3 <= row[0] < HOUR + 5] for key, rows in written.items()
    }
    assert part == inside


def test_events_and_commands_are_stored_with_their_receipts(tmp_path: Path) -> None:
    done = Command(id="1", uid="n", resource="led", payload="1", client="c")
    lost = Command(id="2", uid="n", resource="led", payload="0", client="c")
    refused = Command(uid="m", resource="led", payload="0", client="d")
    receipt = Receipt(id="mine", state="confirmed", elapsed_ms=500.0)
    with history_file(tmp_path) as file:
        file.write(
            GatewayState(name="coap", protocol="CoAP", state="connected", ts=HOUR),
            NodeAppeared(uid="n", ts=HOUR + 1, gateway="coap"),
            CommandIssued(done, HOUR + 2, "user:ada"),
            CommandIssued(lost, HOUR + 3, "token:script"),
        )
        file.write(
            CommandEnded(done, receipt, HOUR + 2.5, "user:ada"),
            CommandEnded(
                refused, Receipt(id="", state="unknown", detail="no node"), HOUR + 4, "local"
            ),
            NodeLeft(uid="n", ts=HOUR + 5, reason="silent"),
        )
        events = query_store(file.path, lambda h: h.events()).whole()
        of_node = query_store(file.path, lambda h: h.events(uid="n", kinds=["left"])).whole()
        commands = query_store(file.path, lambda h: h.commands()).whole()
        newest = query_store(file.path, lambda h: h.commands(newest_first=True, limit=1))
        second = query_store(
            file.path, lambda h: h.commands(newest_first=True, limit=1, cursor=newest.cursor)
        )
    assert [event.kind for event in events] == ["gateway connected", "appeared", "left"]
    assert [row.who for row in commands] == ["user:ada", "token:script", "local"]
    assert [(event.ts, event.detail) for event in of_node] == [(HOUR + 5, "silent")]
    states: list[tuple[float, str, ReceiptState | None, str, float | None]] = [
        (row.ts - HOUR, row.client_id, row.state, row.client, row.elapsed_ms) for row in commands
    ]
    assert states == [
        (2.0, "mine", "confirmed", "c", 500.0),
        (3.0, "", None, "c", None),
        (4.0, "", "unknown", "d", 0.0),
    ]
    assert [newest.rows[0].uid, second.rows[0].ts - HOUR] == ["m", 3.0]


def test_a_batch_is_one_transaction(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.writer._db.execute("PRAGMA max_page_count = 30")
        file.readings("t", [(0, 1)])
        with pytest.raises(StoreError, match="the disk is full"):
            file.readings("text", [(1 + at, "x" * 10_000) for at in range(100)])
        assert file.count("reading") == 1
        assert file.count("series") == 1
        # The same writer continues when there is space: ids of the failed batch are not used.
        file.writer._db.execute("PRAGMA max_page_count = 10000")
        file.readings("text", [(1 + at, "x" * 10_000) for at in range(100)])
        assert file.count("reading") == 101
        assert len(query_store(file.path, lambda h: h.readings("n", "text")).rows) == 100


def test_forgotten_resources_are_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_index, "SERIES_KNOWN_MAX", 10)
    with history_file(tmp_path) as file:
        for turn in range(3):
            for number in range(25):
                file.readings(f"r{number}", [(turn, turn)])
                assert len(file.writer._index) <= 10
        assert file.count("series") == 25
        assert file.count("reading") == 75


def test_memory_for_pages_is_given_back_once_nothing_is_written(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        statements: list[str] = []
        file.writer._db.set_trace_callback(statements.append)

        def shrinks_at_the_next_step() -> int:
            statements.clear()
            file.writer.run_retention(100.0)
            return sum("shrink_memory" in it for it in statements)

        for at in range(2):
            file.readings("t", [(at, at)])
            found = [shrinks_at_the_next_step() for _ in range(20)]
            assert sum(found) == 1
            assert found.index(1) >= IDLE_STEPS - 1


# -- files of other programs and other versions ----------------------------------------------------


def test_the_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE reading (mine)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="of another program"):
        SqliteWriter(path, FOR_EVER, run="r")
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("reading",)]
    db.close()
    assert len(path.read_bytes()) == len(before)


def test_the_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.writer._db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99, was written by a newer Pyaiot"):
        SqliteWriter(file.path, FOR_EVER, run="r")


def test_a_migration_keeps_the_rows_and_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(0, 1)])
    more = ("ALTER TABLE series ADD COLUMN note TEXT", "UPDATE series SET note = 'x' || id")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, more))
    for _ in range(2):
        with history_file(tmp_path) as file:
            assert file.writer._db.execute("SELECT note FROM series").fetchall() == [("x1",)]
            assert file.count("reading") == 1


def test_a_failed_migration_leaves_the_file_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with history_file(tmp_path):
        pass
    wrong = ("ALTER TABLE series ADD COLUMN note TEXT", "UPDATE missing SET x = 1")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, wrong))
        with pytest.raises(StoreError, match="no such table"):
            SqliteWriter(tmp_path / "history.db", FOR_EVER, run="r")
    with history_file(tmp_path) as file:
        columns = [row[1] for row in file.writer._db.execute("PRAGMA table_info(series)")]
        assert columns == ["id", "uid", "resource"]


def test_a_copy_made_during_writes_is_consistent(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(at, at) for at in range(100)])
        other = sqlite3.connect(file.path)
        other.execute(f"VACUUM INTO '{tmp_path / 'copy.db'}'")
        other.close()
        file.readings("t", [(200, 1)])
    assert len(query_store(tmp_path / "copy.db", lambda h: h.readings("n", "t")).rows) == 100


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        assert file.writer._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert file.writer._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_readings_beyond_retention_are_not_written(tmp_path: Path) -> None:
    with history_file(tmp_path, RetentionPolicy(1.0, 1.0, 1.0, 1.0)) as file:
        file.readings("t", [(-90_000, 1), (-80_000, 2)])
        assert file.count("reading") == 1


# -- slow queries ----------------------------------------------------------------------------------


def endless(db: sqlite3.Connection) -> object:
    counting = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    return db.execute(f"{counting} SELECT count(*) FROM c").fetchall()


def test_a_cancelled_query_ends(tmp_path: Path) -> None:
    async def leave(path: Path) -> None:
        async with open_reader(path) as history:
            # One for each reader, and some that wait.
            tasks = [asyncio.create_task(history._query(endless)) for _ in range(READERS_MAX + 3)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(answer) for answer in answers} == {asyncio.CancelledError}
            async with asyncio.timeout(5.0):
                assert (await history.last()).rows == []
            assert not history._jobs

    with history_file(tmp_path) as file:
        run(leave(file.path))


def test_a_query_that_takes_too_long_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "QUERY_LIMIT_S", 0.05)
    with history_file(tmp_path) as file:
        with pytest.raises(TooSlow, match="took longer"):
            query_store(file.path, lambda h: h._query(endless))
        monkeypatch.setattr(reader_module, "QUERIES_MAX", 0)
        with pytest.raises(TooSlow, match="open already"):
            query_store(file.path, lambda h: h.last())


def test_a_short_query_is_answered_while_wide_ones_run(tmp_path: Path) -> None:
    async def answered(path: Path) -> None:
        async with open_reader(path) as history:
            tasks = [asyncio.create_task(history._query(endless)) for _ in range(READERS_MAX * 4)]
            async with asyncio.timeout(5.0):
                for _ in range(10):
                    assert (await history.last("n")).rows == []
                    assert (await history.readings("n", "t", limit=10)).rows == []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with history_file(tmp_path) as file:
        run(answered(file.path))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        query_store(tmp_path / "none.db", lambda h: h.last())
