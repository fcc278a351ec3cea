# SPDX-License-Identifier: BSD-3-Clause
"""Several brokers of a cluster write one history database at the same time."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest

from pyaiot.history.postgres.writer import PostgresWriter
from pyaiot.history.rows import batch_of
from pyaiot.history.store import StoreError
from pyaiot.messages import Reading
from tests.history.files import FOR_EVER, HOUR
from tests.history.postgres_server import Server, drop_schema, running_server

WRITERS = 4
WEEK_S = 7 * 86_400.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


@pytest.fixture
def url(server: Server) -> str:
    """A database without tables."""
    drop_schema(server.url, "pyaiot")
    return server.url


def problems_of(
    url: str, work: Callable[[PostgresWriter, int, threading.Barrier], None]
) -> list[str]:
    """Run `work` with several writers, each on its thread, and return their errors."""
    problems: list[str] = []
    barrier = threading.Barrier(WRITERS, timeout=20)

    def run(number: int) -> None:
        writer = PostgresWriter(url, "test", FOR_EVER, run=f"run {number}", is_shared=True)
        try:
            barrier.wait()
            work(writer, number, barrier)
        except StoreError as error:
            problems.append(str(error))
            barrier.abort()
        except threading.BrokenBarrierError:
            pass  # another writer has failed
        finally:
            writer.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return problems


@pytest.mark.programs
def test_brokers_that_start_together_create_the_partition_of_a_new_week(url: str) -> None:
    def work(writer: PostgresWriter, number: int, barrier: threading.Barrier) -> None:
        for week in range(8):
            now = HOUR + week * WEEK_S
            readings = [Reading.received(f"N{number}", f"r{week}", "1", now)]
            barrier.wait()
            writer.write(batch_of(readings, now=now), now)

    assert problems_of(url, work) == []


@pytest.mark.programs
def test_brokers_write_and_downsample_the_same_readings_in_any_order(url: str) -> None:
    def work(writer: PostgresWriter, number: int, barrier: threading.Barrier) -> None:
        order = random.Random(number)
        for turn in range(12):
            at = HOUR + turn * 600
            readings = [
                Reading.received(f"N{node}", f"r{turn % 2}", str(node), at + 60 * minute)
                for node in range(40)
                for minute in range(4)
            ]
            order.shuffle(readings)
            barrier.wait()
            for _ in range(2):
                writer.write(batch_of(readings, now=at + 300), at + 1000)
                writer.run_retention(at + 1000)

    assert problems_of(url, work) == []
