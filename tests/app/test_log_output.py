# SPDX-License-Identifier: BSD-3-Clause
"""The log: for programs, for the journal of systemd, and within its rate limit."""

import io
import json
import logging
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyaiot.app.log_output import (
    KINDS_MAX,
    SAME_PER_MINUTE_MAX,
    JournalFormatter,
    JsonFormatter,
    LimitedHandler,
    LogRateLimit,
    is_journal,
)
from tests.programs import AIOT, ANY_PORTS, Programs


def record(
    message: str, *arguments: object, error: BaseException | None = None
) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("pyaiot.test", logging.WARNING, "", 1, message, arguments, info)


@pytest.mark.parametrize(
    "name", ["lamp", 'a"b', "two\nlines", "\x1b[31mred", "\u2028", "\ud800", "é", "{}"]
)
def test_an_entry_is_one_line_of_json_with_any_device_name(name: str) -> None:
    line = JsonFormatter().format(record("node %s was refused", name))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["message"] == f"node {name} was refused"
    assert (entry["level"], entry["logger"]) == ("warning", "pyaiot.test")


def test_the_time_is_that_of_the_entry_in_utc() -> None:
    entry = record("x")
    entry.created = 1_764_000_000.1234
    text = json.loads(JsonFormatter().format(entry))["time"]
    assert text == "2025-11-24T16:00:00.123+00:00"
    assert datetime.fromisoformat(text).tzinfo is UTC


def test_a_traceback_is_a_part_of_its_line() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        line = JsonFormatter().format(record("ended", error=error))
    assert len(line.splitlines()) == 1
    assert "ValueError: broken\nin two" in json.loads(line)["exception"]


@pytest.mark.sockets
def test_a_service_logs_json_and_prints_its_url_as_text(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    try:
        running = programs.aiot("run", *ANY_PORTS, "--log-format", "json", "--debug")
        assert running.startup_text().startswith("Pyaiot: http://")
        entries = [json.loads(line) for line in running.stderr.splitlines()]
        assert {"time", "level", "logger", "message", "process"} <= entries[0].keys()
        assert {entry["process"] for entry in entries} == {running.pid}
    finally:
        programs.close()


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7),
        (logging.INFO, 6),
        (logging.WARNING, 4),
        (logging.ERROR, 3),
        (logging.CRITICAL, 2),
    ],
)
def test_the_journal_gets_the_priority_and_no_time(level: int, priority: int) -> None:
    entry = record("node %s is offline", "lamp")
    entry.levelno = level
    line = JournalFormatter("%(name)s: %(message)s").format(entry)
    assert line == f"<{priority}>pyaiot.test: node lamp is offline"


def test_each_line_of_a_traceback_has_its_priority_in_the_journal() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        text = JournalFormatter("%(message)s").format(record("ended", error=error))
    assert len(text.splitlines()) > 3
    assert all(line.startswith("<4>") for line in text.splitlines())


def test_only_the_stream_that_is_the_journal_is_one(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as ours, (tmp_path / "b").open("w") as other:
        status = (tmp_path / "a").stat()
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(environ, ours)
        assert not is_journal(environ, other)  # standard error was redirected
        assert not is_journal({}, ours)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_kind_of_line_beyond_its_limit_is_counted_and_the_others_are_logged() -> None:
    clock = Clock()
    limit = LogRateLimit(clock)
    passed = sum(limit.filter(record("node %s was refused", n)) for n in range(5000))
    assert passed == SAME_PER_MINUTE_MAX
    assert limit.filter(record("the disk is full"))
    clock.now += 61
    entry = record("node %s was refused", "last")
    assert limit.filter(entry)
    assert entry.getMessage() == (
        f"node last was refused (and {5000 - SAME_PER_MINUTE_MAX} lines like this one were left"
        " out)"
    )
    after = record("node %s was refused", "next")
    assert limit.filter(after)
    assert after.getMessage() == "node next was refused"


def test_what_was_left_out_is_due_at_the_end_of_its_minute_without_another_line() -> None:
    clock, delays = Clock(), list[float]()
    limit = LogRateLimit(clock, delays.append)
    for number in range(SAME_PER_MINUTE_MAX + 1):
        limit.filter(record("node %s was refused", number))
    assert delays == [60.0]
    clock.now += 20
    for number in range(SAME_PER_MINUTE_MAX + 5):
        limit.filter(record("node %s is too fast", number))
    assert limit.due() == []  # too early: it asks again
    clock.now += 40
    assert [it.getMessage() for it in limit.due()] == [f"node {SAME_PER_MINUTE_MAX} was refused"]
    assert delays == [60.0, 40.0, 20.0]
    clock.now += 20
    assert [it.getMessage() for it in limit.due()] == [
        f"node {SAME_PER_MINUTE_MAX + 4} is too fast (and 4 lines like this one were left out)"
    ]
    assert limit.due() == []
    after = record("node %s was refused", "next")
    assert limit.filter(after)
    assert after.getMessage() == "node next was refused"


def test_handler_writes_what_was_left_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = Clock(), io.StringIO()
    ended = threading.Event()

    class AtOnce(threading.Timer):
        """The minute ends when the test ends it."""

        def run(self) -> None:
            assert ended.wait(10)
            self.function()

    monkeypatch.setattr(threading, "Timer", AtOnce)
    handler = LimitedHandler(written, clock)
    for number in range(SAME_PER_MINUTE_MAX + 3):
        handler.handle(record("node %s was refused", number))
    (timer,) = [it for it in threading.enumerate() if isinstance(it, AtOnce)]
    assert timer.daemon  # a service that ends does not wait for it
    clock.now += 60
    ended.set()
    timer.join(10)
    lines = written.getvalue().splitlines()
    assert len(lines) == SAME_PER_MINUTE_MAX + 1
    assert lines[-1] == (
        f"node {SAME_PER_MINUTE_MAX + 2} was refused (and 2 lines like this one were left out)"
    )


def test_debug_lines_have_no_limit() -> None:
    entry = record("step %d", 1)
    entry.levelno = logging.DEBUG
    limit = LogRateLimit(Clock())
    assert all(limit.filter(entry) for _ in range(SAME_PER_MINUTE_MAX * 3))


def test_the_kinds_of_lines_that_are_counted_have_a_limit() -> None:
    limit = LogRateLimit(Clock())
    for number in range(KINDS_MAX * 2):
        assert limit.filter(record(f"text {number}"))
    assert len(limit._kinds) == KINDS_MAX


@pytest.mark.sockets
def test_a_service_under_systemd_logs_for_the_journal(tmp_path: Path) -> None:
    programs = Programs(tmp_path, preloaded=False)
    # A pipe in place of the socket of the journal: the service compares device and inode.
    start = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'
    try:
        running = programs.start("sh", "-c", start, "sh", *AIOT, "run", *ANY_PORTS)
        running.startup_text()
        lines = running.stderr.splitlines()
        assert lines
        assert all(re.match(r"<[2-7]>pyaiot\.[\w.]+: ", line) for line in lines), lines
    finally:
        programs.close()
