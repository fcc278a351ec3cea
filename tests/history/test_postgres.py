# SPDX-License-Identifier: BSD-3-Clause
"""A history database returns the same as a history file; and the recorder when it is down."""

import asyncio
import math
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from pyaiot.errors import OperatorError
from pyaiot.history import recorder as recorder_module
from pyaiot.history.postgres.reader import PostgresReader
from pyaiot.history.postgres.retention import partitions
from pyaiot.history.postgres.schema import MIGRATIONS, WEEK
from pyaiot.history.postgres.server import PostgresServer
from pyaiot.history.postgres.writer import PostgresWriter
from pyaiot.history.reader import HistoryReader
from pyaiot.history.recorder import Recorder
from pyaiot.history.rows import CommandEnded, CommandIssued, Item, batch_of
from pyaiot.history.sqlite.reader import SqliteReader
from pyaiot.history.store import (
    BadQuery,
    BucketRow,
    ReadingRow,
    RetentionPolicy,
    RowsRefused,
    StoreError,
    TooManyRows,
    TooSlow,
)
from pyaiot.history.stores import store_at
from pyaiot.messages import Command, GatewayState, NodeAppeared, NodeLeft, Reading, Receipt
from tests.history.files import FOR_EVER, HOUR, File, exported, run
from tests.history.postgres_server import Server, drop_schema, running_server
from tests.programs import ANY_PORTS, Programs
from tests.time_limits import time_limit

DAY = 86_400.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


@pytest.fixture
def url(server: Server) -> str:
    """A database without tables."""
    drop_schema(server.url, "pyaiot")
    return server.url


def open_writer(url: str, keep: RetentionPolicy = FOR_EVER) -> PostgresWriter:
    return PostgresWriter(url, "postgresql://test", keep, run="test")


def query_store(url: str, query: Callable[[PostgresReader], Any]) -> Any:
    async def run_query() -> Any:
        history = PostgresReader(url, "postgresql://test")
        try:
            return await query(history)
        finally:
            await history.close()

    return run(run_query())


class Both:
    """A file and a database with the same rows."""

    def __init__(self, folder: Path, url: str, keep: RetentionPolicy) -> None:
        self._file = File(folder / "history.db", keep)
        self._writer = open_writer(url, keep)
        self._url = url
        self.now = HOUR

    def write(self, *items: Item) -> None:
        for writer in (self._file.writer, self._writer):
            writer.write(batch_of(items, now=self.now), self.now)

    def run_retention(self, *, steps: int = 1000) -> None:
        for writer in (self._file.writer, self._writer):
            for _ in range(steps):
                if not writer.run_retention(self.now):
                    break

    def same(self, query: Callable[[HistoryReader], Any]) -> Any:
        """Query both stores, which must return the same. Returns that."""

        async def run_query() -> Any:
            file, database = SqliteReader(self._file.path), PostgresReader(self._url, "test")
            try:
                mine, theirs = await query(file), await query(database)
            finally:
                await file.close()
                await database.close()
            assert rounded(theirs) == rounded(mine)
            return mine

        return run(run_query())

    def close(self) -> None:
        self._file.close()
        self._writer.close()


def rounded(answer: Any) -> Any:
    """Means may differ slightly: they are summed in another order."""
    if isinstance(answer, list) and answer and isinstance(answer[0], BucketRow):
        return [
            (row.ts, row.unit, row.min, pytest.approx(row.mean), row.max, row.count, row.last)
            if math.isfinite(row.mean)
            else row
            for row in answer
        ]
    return answer


@pytest.fixture
def both(tmp_path: Path, url: str) -> Iterator[Both]:
    it = Both(tmp_path, url, RetentionPolicy(2.0, 4.0, 6.0, 3.0))
    yield it
    it.close()


VALUES = ("20.5°C", "21°C", "1000hPa", 7, "warm", "", True, None, {"a": ["°", 1]}, "nan")


def some_messages(chance: random.Random, start: float, count: int) -> list[Item]:
    messages: list[Item] = []
    for number in range(count):
        uid, ts = f"n{chance.randrange(3)}°", start + number * 7 + round(chance.random(), 3)
        value = chance.choice([*VALUES, f"{chance.uniform(-50, 50):.2f}°C", "x\0y", "z" * 5000])
        messages.append(Reading.received(uid, f"r{chance.randrange(2)}", value, ts))
        if number % 20 == 0:
            messages.append(NodeAppeared(uid=uid, ts=ts, gateway="coap"))
            messages.append(NodeLeft(uid=uid, ts=ts, reason="silent"))
    return messages


def queries(start: float, end: float) -> list[Callable[[HistoryReader], Any]]:
    async def pages(history: HistoryReader, *, newest_first: bool) -> list[ReadingRow]:
        found: list[ReadingRow] = []
        cursor = None
        while True:
            page = await history.readings(
                "n1°", "r1", start=start, newest_first=newest_first, limit=7, cursor=cursor
            )
            found += page.rows
            cursor = page.cursor
            if cursor is None:
                return found

    return [
        lambda h: h.last(),
        lambda h: h.last("n1°"),
        lambda h: h.last(limit=2),
        lambda h: h.last("nobody"),
        lambda h: h.readings("n0°", "r0"),
        lambda h: h.readings("n0°", "r0", start=start + 100, end=start + 300),
        lambda h: h.readings("n0°", "none"),
        lambda h: pages(h, newest_first=False),
        lambda h: pages(h, newest_first=True),
        exported,
        lambda h: exported(h, uid="n2°", start=start + 50, end=end - 50),
        lambda h: exported(h, resource="r1"),
        lambda h: h.events(),
        lambda h: h.events(uid="n1°", kinds=["left"], newest_first=True, limit=3),
        lambda h: h.commands(),
        *(lambda h, at=at: h.state_at(at) for at in (start, start + 150.5, end, end + 9e6)),
        lambda h: h.state_at(start + 200, uid="n1°"),
        lambda h: h.state_at(start + 200, limit=3),
        *(
            lambda h, step=step: h.buckets("n1°", "r0", start=start, end=end, step_s=step)
            for step in (1, 45, 60, 300, 3600, 86_400)
        ),
    ]


def test_both_stores_return_the_same_before_and_after_downsampling_and_retention(
    both: Both,
) -> None:
    chance = random.Random(5432)
    end = HOUR
    for _turn in range(4):
        start, end = end, end + 2400
        both.now = end
        both.write(*some_messages(chance, start, 300))
        command = Command(id="1", uid="n", resource="led", payload="1", client="c")
        both.write(CommandIssued(command, start))
        both.write(CommandEnded(command, Receipt(id="x", state="sent", detail="°"), end))
        both.write(GatewayState(name="coap", protocol="CoAP", state="lost", ts=end))
        for steps in (0, 1, 1000):
            both.run_retention(steps=steps)
            for query in queries(HOUR, end):
                both.same(query)
    # Late readings, repeated ones, and then nothing for a long time.
    late = some_messages(random.Random(1), HOUR + 60, 50)
    for _ in range(2):
        both.write(*late)
        for query in queries(HOUR, end):
            both.same(query)
        both.run_retention()
    for days in (1, 5, 7):
        both.now = end + days * DAY
        both.run_retention()
        for query in queries(HOUR, end)[-4:]:
            both.same(query)
    assert both.same(lambda h: h.events()).rows == []


def test_identifiers_keep_their_digits(both: Both) -> None:
    identifiers = ["000012300007", "007", "12B", "9007199254740993", "1" * 40]
    both.now = HOUR + 100
    both.write(
        *(
            Reading.received("n", "serial", data, HOUR + at)
            for at, data in enumerate([*identifiers, 2**53 + 1])
        )
    )
    rows = both.same(lambda h: h.readings("n", "serial")).rows
    assert [row.data for row in rows] == [*identifiers, "9007199254740993"]


def test_the_largest_numbers_can_be_aggregated(both: Both) -> None:
    both.now = HOUR + 100
    both.write(
        *(
            Reading.received("n", "t", value, HOUR + at)
            for at, value in enumerate([1.7e308, 1.7e308, -1.7e308, 1.0])
        )
    )
    for _ in range(2):

        async def run_query(history: HistoryReader) -> Any:
            (row,) = await history.buckets("n", "t", start=HOUR, end=HOUR + 60, step_s=3600)
            return row.min, row.max, row.count, row.last, row.min <= row.mean <= row.max

        assert both.same(run_query) == (-1.7e308, 1.7e308, 4, 1.0, True)
        both.now += 3 * 3600
        both.run_retention()


def test_readings_are_partitioned_by_week_and_dropped_by_partition(url: str) -> None:
    writer = open_writer(url, RetentionPolicy(10.0, 10.0, 10.0, 10.0))
    try:
        for week in range(5):
            now = HOUR + week * 7 * DAY
            reading = Reading.received("n", "t", week, now)
            writer.write(batch_of([reading], now=now), now)
            while writer.run_retention(now + 700):
                pass
            now += 700
        weeks = writer._call(partitions(writer._db))
        newest = int(now * 1_000_000) // WEEK
        assert weeks <= set(range(newest - 2, newest + 1))
        assert {row.number for row in query_store(url, lambda h: h.readings("n", "t")).rows} <= {
            2,
            3,
            4,
        }
    finally:
        writer.close()


def test_a_batch_is_one_transaction(url: str) -> None:
    writer = open_writer(url)
    try:
        good = batch_of([Reading.received("n", "t", 1, HOUR)], now=HOUR)
        bad = batch_of(
            [Reading.received("n", "t", 2, HOUR + 1), NodeAppeared(uid="a\0b", ts=HOUR)], now=HOUR
        )
        writer.write(good, HOUR)
        with pytest.raises(RowsRefused, match="left out"):
            writer.write(bad, HOUR)
        writer.write(batch_of([Reading.received("n", "t", 3, HOUR + 2)], now=HOUR), HOUR)
        numbers = [row.number for row in query_store(url, lambda h: h.readings("n", "t")).rows]
        assert numbers == [1, 3]
    finally:
        writer.close()


def test_an_incomplete_result_is_an_error(url: str) -> None:
    writer = open_writer(url)
    readings: list[Item] = [Reading.received("n", "t", at, HOUR + at) for at in range(5)]
    writer.write(batch_of(readings, now=HOUR + 5), HOUR)
    writer.close()
    with pytest.raises(TooManyRows):
        query_store(url, lambda h: h.readings("n", "t", limit=4)).whole()
    with pytest.raises(TooManyRows):
        query_store(url, lambda h: h.buckets("n", "t", start=HOUR, end=HOUR + 9, step_s=1, limit=4))


def test_a_second_writer_is_refused(url: str) -> None:
    first = open_writer(url)
    with pytest.raises(StoreError, match="another Pyaiot is writing this database"):
        open_writer(url)
    first.close()
    # The server notices the disconnect.
    for _ in range(100):
        try:
            open_writer(url).close()
            return
        except StoreError:
            time.sleep(0.02)
    raise AssertionError("the lock outlived its connection")


def test_the_database_of_a_newer_version_is_left_alone(url: str) -> None:
    writer = open_writer(url)
    writer._call(writer._db.execute("INSERT INTO version VALUES (99)"))
    writer.close()
    for _ in range(100):
        with pytest.raises(StoreError) as raised:
            open_writer(url)
        if "another Pyaiot" not in str(raised.value):
            break
        time.sleep(0.02)
    assert "version 99, was written by a newer Pyaiot" in str(raised.value)
    assert len(MIGRATIONS) < 99


@pytest.mark.parametrize("cursor", ["x", "[1.5]", f"[{10**400}]", "[" * 1900, '["\\ud800", ""]'])
def test_invalid_queries_are_refused_by_both_stores(both: Both, cursor: str) -> None:
    for query in (
        lambda h: h.readings("n", "t", cursor=cursor),
        lambda h: h.last(cursor=cursor),
        lambda h: h.readings("\ud800", "t"),
    ):

        async def refused(history: HistoryReader, query: Any = query) -> bool:
            with pytest.raises(BadQuery):
                await query(history)
            return True

        both.write(Reading.received("n", "t", 1, HOUR))
        assert both.same(refused)


def test_a_cancelled_query_is_cancelled_in_the_server(url: str) -> None:
    open_writer(url).close()

    async def leave() -> int:
        history = PostgresReader(url, "test")

        async def slow(db: Any) -> None:
            await db.execute("SELECT pg_sleep(60)")

        async def count(db: Any) -> int:
            found: int = await db.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
            )
            return found

        try:
            task = asyncio.create_task(history._query(slow))
            while await history._query(count) != 1:
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with time_limit(5.0):
                while await history._query(count) != 0:
                    pass
            return sum(history._open.values())
        finally:
            await history.close()

    assert run(leave()) == 0


def test_a_short_query_is_answered_while_wide_ones_run(url: str) -> None:
    open_writer(url).close()

    async def answered() -> None:
        history = PostgresReader(url, "test")

        async def slow(db: Any) -> None:
            await db.execute("SELECT pg_sleep(60)")

        try:
            tasks = [asyncio.create_task(history._query(slow)) for _ in range(16)]
            async with time_limit(10.0):
                for _ in range(10):
                    assert (await history.readings("n", "t", limit=10)).rows == []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await history.close()

    run(answered())


def test_the_recorder_continues_while_the_server_is_down(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(recorder_module, "RETRY_MAX_S", 0.05)
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 50)
    recorder = Recorder(PostgresServer(url, FOR_EVER))
    recorder.start()

    def until(true: Callable[[], object]) -> None:
        limit = time.monotonic() + 20.0
        while not true():
            assert time.monotonic() < limit, recorder.problem()
            time.sleep(0.005)

    def send_readings(numbers: range) -> None:
        for number in numbers:
            recorder.message_published(Reading.received("n", "t", number, HOUR - 9e7 + number))

    try:
        send_readings(range(10))
        until(lambda: recorder.recorded == 10)
        server.stop()
        send_readings(range(10, 20))
        until(recorder.problem)
        assert "secret" not in recorder.problem()
        send_readings(range(20, 100))
        server.start()
        until(lambda: recorder.recorded + recorder.dropped == 100)
        until(lambda: not recorder.problem())
    finally:
        recorder.close()
    rows = query_store(url, lambda h: h.readings("n", "t")).rows
    assert len(rows) == recorder.recorded
    (gap,) = query_store(url, lambda h: h.events(kinds=["gap"])).rows
    assert gap.lost == recorder.dropped > 0


def test_a_password_is_hidden_and_an_invalid_url_is_refused(url: str) -> None:
    store = store_at("postgresql://me:secret@host:5/x?password=secret", FOR_EVER)
    assert store.name == "postgresql://me@host:5/x"
    assert isinstance(store_at(url, FOR_EVER), PostgresServer)
    with pytest.raises(OperatorError, match="URL after --history"):
        store_at("postgresql://host:port/x", FOR_EVER)


def test_too_many_queries_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyaiot.history.reader.QUERIES_MAX", 0)
    with pytest.raises(TooSlow, match="open already"):
        query_store(url, lambda h: h.last())


@pytest.mark.sockets
async def test_aiot_run_records_into_a_database(url: str, tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    try:
        program = programs.aiot("run", *ANY_PORTS, "--history", url)
        found = re.search(r"http://\S+/", program.line())
        assert found is not None
        async with aiohttp.ClientSession() as web, web.get(found[0] + "readyz") as answer:
            assert (await answer.json())["parts"]["history"] == "ok", await answer.text()
        program.send(signal.SIGTERM)
        assert program.exit_code(5.0) == 0
        assert "Traceback" not in program.stderr
        assert "secret" not in program.stderr
    finally:
        programs.close()
    history = PostgresReader(url, "test")
    kinds = [event.kind for event in (await history.events()).rows]
    await history.close()
    assert {kinds[0], kinds[-1]} <= {"started", "stopped", "gateway connected"}
    assert kinds.count("started") == kinds.count("stopped") == 1


def shared_writer(url: str) -> PostgresWriter:
    return PostgresWriter(url, "postgresql://test", FOR_EVER, run="test", is_shared=True)


def test_brokers_of_a_cluster_write_the_same_database_and_one_downsamples(url: str) -> None:
    first, second = shared_writer(url), shared_writer(url)
    for writer, value in ((first, "1"), (second, "2")):
        at = HOUR + float(value)
        reading = Reading.received("A", "t", value, at)
        for _ in range(2):  # the second broker also gets what was sent again
            writer.write(batch_of([reading], now=HOUR), HOUR)
    first.write(batch_of([Reading.received("A", "t", "2", HOUR + 2.0)], now=HOUR), HOUR)
    assert first.run_retention(HOUR + 200)
    assert not second.run_retention(HOUR + 200)
    # A late reading at the other broker marks the minute again.
    late = Reading.received("A", "t", "9", HOUR + 3.0)
    second.write(batch_of([late], now=HOUR + 200), HOUR + 200)
    while first.run_retention(HOUR + 200):
        pass

    async def count(history: PostgresReader) -> Any:
        return await history.readings("A", "t", start=HOUR, end=HOUR + 60, limit=100)

    rows = query_store(url, count)
    assert [row.number for row in rows.rows] == [1.0, 2.0, 9.0]
    db_minutes = run(minutes_of(url))
    assert db_minutes == [(3, 9.0)]
    first.close()
    while not second.run_retention(HOUR + 300) and not second._is_worker:
        time.sleep(0.01)
    second.close()


def test_brokers_with_wrong_clocks_record_once_what_is_sent_again(url: str) -> None:
    sent_at = time.time()
    readings = [Reading.received("A", "t", str(n), sent_at - 2 + n / 10) for n in range(20)]
    for ahead_s in (3600.0, -3600.0, 0.0):
        recorder = Recorder(
            PostgresServer(url, FOR_EVER, is_shared=True),
            unix_time=lambda ahead_s=ahead_s: time.time() + ahead_s,  # type: ignore[misc]
        )
        recorder.start()
        for reading in readings:
            recorder.message_published(reading)
        recorder.close()
        assert (recorder.recorded, recorder.problem()) == (20, "the recorder has ended")
        assert abs(recorder.clock.own_ahead_s - ahead_s) < 1.0
    rows = query_store(url, lambda h: h.readings("A", "t")).rows
    assert [row.number for row in rows] == [float(n) for n in range(20)]
    assert [round(row.ts, 3) for row in rows] == [round(it.ts, 3) for it in readings]
    events = query_store(url, lambda h: h.events(kinds=["started"])).rows
    assert len(events) == 3
    assert all(abs(event.ts - sent_at) < 30 for event in events)


async def minutes_of(url: str) -> list[tuple[int, float]]:
    db = await asyncpg.connect(url)
    rows = await db.fetch("SELECT count, high FROM pyaiot.minute")
    await db.close()
    return [(count, high) for count, high in rows]


def test_a_broker_alone_and_a_cluster_refuse_each_other_the_database(url: str) -> None:
    alone = open_writer(url)
    with pytest.raises(StoreError, match="not of a cluster"):
        shared_writer(url)
    alone.close()
    shared = shared_writer(url)
    with pytest.raises(StoreError, match="another Pyaiot"):
        open_writer(url)
    shared.close()
