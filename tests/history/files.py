# SPDX-License-Identifier: BSD-3-Clause
"""History files for tests: written directly, queried as the web API does."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pyaiot.history.reader import HistoryReader
from pyaiot.history.rows import Item, batch_of
from pyaiot.history.sqlite.reader import SqliteReader
from pyaiot.history.sqlite.writer import SqliteWriter
from pyaiot.history.store import Chunk, RetentionPolicy
from pyaiot.messages import Reading

HOUR: Final = 1_800_000_000.0 // 3600 * 3600
"""The start of an hour, in Unix time."""
FOR_EVER: Final = RetentionPolicy(None, None, None, None)

T = TypeVar("T")


class File:
    """A history file and its writer; `now` is the time that the writer gets."""

    def __init__(self, path: Path, keep: RetentionPolicy = FOR_EVER) -> None:
        self.path = path
        self.writer = SqliteWriter(path, keep, run="test")
        self.now = HOUR

    def write(self, *items: Item) -> None:
        self.writer.write(batch_of(items, now=self.now), self.now)

    def readings(self, resource: str, values: Sequence[tuple[float, object]]) -> None:
        """Readings of the node `n`: seconds after `HOUR`, and values."""
        self.now = max(self.now, *(HOUR + at for at, _ in values), HOUR)
        self.write(*(Reading.received("n", resource, data, HOUR + at) for at, data in values))

    def run_retention(self) -> int:
        """Run all steps that are due. Returns their number."""
        steps = 1
        while self.writer.run_retention(self.now):
            steps += 1
        return steps

    def count(self, table: str) -> int:
        (count,) = self.writer._db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)

    def close(self) -> None:
        self.writer.close()


@contextlib.contextmanager
def history_file(folder: Path, keep: RetentionPolicy = FOR_EVER) -> Iterator[File]:
    file = File(folder / "history.db", keep)
    try:
        yield file
    finally:
        file.close()


@contextlib.asynccontextmanager
async def open_reader(path: Path) -> Any:
    """A reader of a history file."""
    history = SqliteReader(path)
    try:
        yield history
    finally:
        await history.close()


def query_store(path: Path, query: Any) -> Any:
    """One query: `query_store(path, lambda history: history.last())`."""

    async def run_query() -> Any:
        async with open_reader(path) as history:
            return await query(history)

    return run(run_query())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


async def exported(history: HistoryReader, **what: Any) -> list[Chunk]:
    return [chunk async for chunk in history.export(**what)]
