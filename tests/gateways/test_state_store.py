# SPDX-License-Identifier: BSD-3-Clause
"""The state file of a gateway: what it holds over a restart, and what it costs when it fails."""

import asyncio
import contextlib
import sqlite3
import stat
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyaiot.gateways import state_store as module
from pyaiot.gateways.state_store import RECORD_BYTES_MAX, StateStore
from tests.time_limits import time_limit


@contextlib.asynccontextmanager
async def running(path: Path | None, records: dict[str, bytes]) -> AsyncIterator[StateStore]:
    kept = StateStore(path)
    task = asyncio.create_task(kept.run(records.get))
    await asyncio.sleep(0)
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def stored(path: Path) -> list[bytes]:
    kept = StateStore(path)
    records = sorted(kept.take_records())
    kept.close()
    return records


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


async def until_written(path: Path, expected: dict[str, bytes]) -> None:
    """Read beside the gateway, from a copy: the file itself is locked."""
    copy = path.with_name("copy")
    for _ in range(500):
        await asyncio.sleep(0.01)
        copy.write_bytes(await asyncio.to_thread(_content, path))
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(copy)) as read:
            if dict(read.execute("SELECT key, record FROM records")) == expected:
                return
    raise AssertionError(f"{path} does not hold {expected}")


async def test_records_survive_and_are_replaced_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "state" / "coap.db"
    records = {"a": b"1", "b": b"2"}
    async with running(path, records) as kept:
        kept.changed("a")
        kept.changed("b")
        kept.changed("nobody")
    assert await stored(path) == [b"1", b"2"]
    async with running(path, records) as kept:
        assert sorted(kept.take_records()) == [b"1", b"2"]
        assert list(kept.take_records()) == []
        records["a"] = b"3"
        del records["b"]
        kept.changed("a")
        kept.changed("b")
    assert await stored(path) == [b"3"]


async def test_records_that_are_not_loaded_at_start_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "coap.db"
    async with running(path, {"a": b"1", "b": b"2"}) as kept:
        kept.changed("a")
        kept.changed("b")
    async with running(path, {"b": b"2"}):
        pass
    assert await stored(path) == [b"2"]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written by threads, for which the clock does not jump."""
    monkeypatch.setattr(module, "WRITE_INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "WRITE_AGAIN_S", 0.01)


@pytest.mark.sockets
@pytest.mark.usefixtures("soon")
async def test_a_change_is_written_within_a_moment(tmp_path: Path) -> None:
    """Not only at the end: a killed gateway writes nothing any more."""
    path = tmp_path / "coap.db"
    async with running(path, {"a": b"1"}) as kept:
        kept.changed("a")
        await until_written(path, {"a": b"1"})


async def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "coap.db"
    async with running(path, {"a": b"1"}) as kept:
        kept.changed("a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir() if each.stat().st_mode & 0o077] == []


async def test_without_a_file_nothing_is_kept_and_nothing_piles_up() -> None:
    async with running(None, {"a": b"1"}) as kept:
        kept.changed("a")
        assert list(kept.take_records()) == []
        assert not kept._changed


@pytest.mark.parametrize("content", [b"no database " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_file_is_moved_away_and_created_again(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "coap.db"
    path.write_bytes(content)
    async with running(path, {"a": b"1"}) as kept:
        assert list(kept.take_records()) == []
        kept.changed("a")
    assert await stored(path) == [b"1"]
    assert (tmp_path / "coap.db.damaged").read_bytes() == content
    assert caplog.text.count("damaged") >= 1


async def test_a_file_of_another_version_is_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "coap.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    async with running(path, {"a": b"1"}) as kept:
        kept.changed("a")
    assert await stored(path) == [b"1"]


async def test_a_file_that_another_gateway_has_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "coap.db"
    async with running(path, {"a": b"1"}) as kept:
        kept.changed("a")
        async with running(path, {"b": b"2"}) as other:
            assert not other.is_open
            other.changed("b")
    assert "cannot be used" in caplog.text
    assert await stored(path) == [b"1"]


async def test_a_folder_that_cannot_be_created_is_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    async with running(tmp_path / "file" / "coap.db", {"a": b"1"}) as kept:
        kept.changed("a")
        assert not kept.is_open
    assert caplog.text.count("cannot be used") == 1


@pytest.mark.sockets
@pytest.mark.usefixtures("soon")
async def test_failed_write_is_logged_once_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "coap.db"
    records = {"a": b"1"}
    write = StateStore._write
    full = sqlite3.OperationalError("database or disk is full")

    def fail(_self: StateStore, _records: object) -> None:
        raise full

    async with running(path, records) as kept:
        monkeypatch.setattr(StateStore, "_write", fail)
        for number in range(100):  # they come and go
            kept.changed(f"x{number}")
        kept.changed("a")
        await asyncio.sleep(0.3)
        # Of those that are gone nothing stays.
        assert kept._changed <= {"a"}
        assert caplog.text.count("cannot be written") == 1
        monkeypatch.setattr(StateStore, "_write", write)
        await until_written(path, records)
        async with time_limit(5):
            while "can be written again" not in caplog.text:  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.01)
        assert caplog.text.count("can be written again") == 1


@pytest.mark.sockets
@pytest.mark.usefixtures("soon")
async def test_a_file_that_is_deleted_at_run_time_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "coap.db"
    records = {"a": b"1", "b": b"2"}
    async with running(path, records) as kept:
        kept.changed("a")
        await until_written(path, {"a": b"1"})
        path.unlink()
        kept.changed("b")
        await until_written(path, records)


async def test_a_record_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "coap.db"
    async with running(path, {"a": b"x" * (RECORD_BYTES_MAX + 1), "b": b"2"}) as kept:
        kept.changed("a")
        kept.changed("b")
    assert await stored(path) == [b"2"]


async def test_records_are_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "coap.db"
    records = {f"{number}": b"%d" % number for number in range(5)}
    async with running(path, records) as kept:
        for key in records:
            kept.changed(key)
    monkeypatch.setattr(module, "RECORDS_MAX", 3)
    assert len(await stored(path)) == 3


@pytest.mark.sockets
@pytest.mark.usefixtures("soon")
async def test_many_changes_are_written_in_turns_of_the_event_loop(tmp_path: Path) -> None:
    path = tmp_path / "coap.db"
    turn = 0
    made_in: Counter[int] = Counter()
    records = {f"k{number}": b"1" for number in range(1000)}

    def record_of(key: str) -> bytes | None:
        made_in[turn] += 1
        return records.get(key)

    loop = asyncio.get_running_loop()

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if made_in.total() < len(records):
            loop.call_soon(next_turn)

    next_turn()
    kept = StateStore(path)
    task = asyncio.create_task(kept.run(record_of))
    for key in records:
        kept.changed(key)
    await until_written(path, records)
    task.cancel()
    await asyncio.wait({task})
    assert max(made_in.values()) <= module.RECORDS_PER_WRITE
