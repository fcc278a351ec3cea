# SPDX-License-Identifier: BSD-3-Clause
"""History: rate and cost of recording during forwarding, and speed of queries."""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.fan_out import Subject, Window, subject_of
from benchmarks.processes import READY_LIMIT_S, BenchmarkError, Home, resident_bytes
from benchmarks.services import broker, history_of
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from pyaiot.history.rows import MICROSECONDS, WriteBatch
from pyaiot.history.sqlite.reader import SqliteReader
from pyaiot.history.sqlite.writer import SqliteWriter
from pyaiot.history.store import RetentionPolicy

OFFERED: Final = 25_000
RESOURCES: Final = 100
DAY_S: Final = 86_400
BATCH: Final = 20_000
UNLIMITED: Final = RetentionPolicy(None, None, None, None)
BEGIN: Final = 1_700_000_000 // DAY_S * DAY_S


def measure(results: Results, home: Home, size: Size) -> None:
    _measure_recording(results, home, size)
    _measure_fan_out(results, home, size)
    _measure_queries(results, home, size)


def _kept(path: Path) -> tuple[int, int]:
    """The numbers of recorded readings and of lost messages."""
    db = sqlite3.connect(path)
    try:
        (readings,) = db.execute("SELECT count(*) FROM reading").fetchone()
        (lost,) = db.execute("SELECT coalesce(sum(lost), 0) FROM event").fetchone()
        return int(readings), int(lost)
    finally:
        db.close()


def _kept_when_open(path: Path) -> tuple[int, int]:
    """The same, as soon as the recorder has made the tables."""
    limit = time.monotonic() + READY_LIMIT_S
    while True:
        with contextlib.suppress(sqlite3.OperationalError):
            return _kept(path)
        if time.monotonic() > limit:
            raise BenchmarkError(f"{path} has no tables after {READY_LIMIT_S:.0f} s")
        time.sleep(0.01)


def _subject(
    home: Home, size: Size, clients: int, *, history: bool
) -> contextlib.AbstractContextManager[Subject]:
    """A broker with or without history, its gateway and its clients."""
    server, name = broker(home, history=history), "history" if history else "none"
    return subject_of(name, server, home, size, clients)


def _measure_recording(results: Results, home: Home, size: Size) -> None:
    """Measure broker and recorder on one core; the load uses the others."""
    cores = sorted(os.sched_getaffinity(0))
    with _subject(home, size, 1, history=True) as subject:
        for thread in Path(f"/proc/{subject.server.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores[:1])
        if len(cores) > 1:
            os.sched_setaffinity(subject.gateway.pid, cores[1:])
            os.sched_setaffinity(subject.clients.pid, cores[1:])
        path = history_of(home, subject.server.port)
        before, _ = _kept_when_open(path)
        cpu_before, began = subject.server.cpu_s(), time.monotonic()
        sent = subject.gateway.call("send", rate=OFFERED, seconds=size.history_s, batch=50)["sent"]
        during, _ = _kept(path)
        seconds = time.monotonic() - began
        cpu = subject.server.cpu_s() - cpu_before
        limit = time.monotonic() + 5.0
        while (kept := _kept(path))[0] - before < sent and time.monotonic() < limit:
            time.sleep(0.05)
    results.figures.append(
        Figure(
            "history",
            f"readings recorded while forwarding on one core, {OFFERED:,}/s offered",
            (during - before) / seconds,
            "readings/s",
            cpu_us=cpu / max(1, sent) * 1e6,
            per="reading, forwarding and recording",
            at_least=20_000,
            note=f"{sent} sent, {kept[0] - before} recorded in the end, {kept[1]} lost;"
            f" core: {cpu / seconds:.0%}; {path.stat().st_size / max(1, kept[0]):.0f} bytes each",
        )
    )


def _measure_fan_out(results: Results, home: Home, size: Size) -> None:
    """The same load with and without history, alternating."""
    clients = size.fan_out_judged
    windows: dict[tuple[str, bool], list[Window]] = {}
    loads: tuple[tuple[str, Callable[[Subject], Window]], ...] = (
        ("1,000 updates/s", lambda it: it.paced(1000, size.fan_out_window_s)),
        ("saturating", lambda it: it.saturating(size.fan_out_window_s, drain=True)),
    )
    with (
        _subject(home, size, clients, history=False) as without,
        _subject(home, size, clients, history=True) as recording,
    ):
        for load, run in loads:
            for _ in range(size.history_rounds):
                for history, subject in ((False, without), (True, recording)):
                    windows.setdefault((load, history), []).append(run(subject))
        _, lost = _kept(history_of(home, recording.server.port))
    for load, _run in loads:
        plain, kept = windows[load, False], windows[load, True]
        rates = [median(w.deliveries / w.seconds for w in its) for its in (plain, kept)]
        cpus = [median(w.cpu_s / max(1, w.deliveries) for w in its) * 1e6 for its in (plain, kept)]
        results.figures.append(
            Figure(
                "history",
                f"fan-out to {clients} clients with history, {load}",
                rates[1] / rates[0] * 100,
                "% of without",
                cpu_us=cpus[1],
                per="delivery, with recording",
                at_least=90,
                note=f"{number(rates[1])} and {number(rates[0])} deliveries/s; without history"
                f" {number(cpus[0])} µs each" + (f"; {lost:,} not recorded" if lost else ""),
            )
        )


def _fill(path: Path, rows: int) -> None:
    """Write `rows` readings of some resources, one per second each, with their aggregates."""
    chance = random.Random(1)
    writer = SqliteWriter(path, UNLIMITED, run="benchmark")
    writer._db.execute("PRAGMA synchronous = OFF")
    keys = [(f"node-{resource // 5}", f"resource-{resource % 5}") for resource in range(RESOURCES)]
    seconds = rows // RESOURCES
    for start in range(0, seconds, BATCH // RESOURCES):
        readings: list[Any] = [
            (key, (BEGIN + second) * MICROSECONDS, chance.random(), "Cel")
            for second in range(start, min(seconds, start + BATCH // RESOURCES))
            for key in keys
        ]
        writer.write(WriteBatch(readings=readings, messages=len(readings)), BEGIN)
    while writer.run_retention(BEGIN + 10 * DAY_S + seconds):
        pass
    writer.close()


def _measure_queries(results: Results, home: Home, size: Size) -> None:
    path = home.path / "queries.db"
    _fill(path, size.history_rows)
    seconds = size.history_rows // RESOURCES
    end = float(BEGIN + seconds)

    async def run() -> None:
        history = SqliteReader(path)
        try:
            hour_ms = await _times_ms(
                lambda turn: history.readings(
                    f"node-{turn % 20}", "resource-1", start=end - 3600, end=end
                )
            )
            day_ms = await _times_ms(
                lambda turn: history.buckets(
                    f"node-{turn % 20}", "resource-1", start=end - DAY_S, end=end, step_s=60
                )
            )
            of = f"{number(size.history_rows / 1e6)} million rows"
            for name, times_ms, target in (
                (f"last hour of one resource, out of {of}", hour_ms, 20),
                (f"a day at 1-minute steps, out of {of}", day_ms, 50),
            ):
                results.figures.append(
                    Figure(
                        "history",
                        name,
                        median(times_ms),
                        "ms",
                        at_most=target,
                        note=f"first {number(times_ms[0])} ms, max {number(max(times_ms))} ms",
                    )
                )
            await _export(results, history, size.history_rows)
        finally:
            await history.close()

    asyncio.run(run())


async def _times_ms(query: Callable[[int], Coroutine[Any, Any, Any]]) -> list[float]:
    times_ms = []
    for turn in range(20):
        began = time.perf_counter()
        if not await query(turn):
            raise BenchmarkError("the history returned nothing")
        times_ms.append((time.perf_counter() - began) * 1000)
    return times_ms


async def _export(results: Results, history: SqliteReader, expected: int) -> None:
    rows = 0
    sizes: list[int] = []
    began, cpu_began = time.monotonic(), time.process_time()
    async for chunk in history.export():
        rows += len(chunk.rows)
        if len(sizes) < rows // 50_000 + 1:
            sizes.append(resident_bytes(os.getpid()))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu_began
    if rows != expected:
        raise BenchmarkError(f"an export had {rows} of {expected} rows")
    growth = max(sizes) - sizes[len(sizes) // 10]
    results.figures.append(
        Figure(
            "history",
            "export of everything",
            rows / seconds,
            "rows/s",
            cpu_us=cpu / rows * 1e6,
            per="row",
            at_least=200_000,
            note=f"{rows:,} rows; memory grew by {growth / 1e6:.1f} MB after the first tenth",
        )
    )
