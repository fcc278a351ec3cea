# SPDX-License-Identifier: BSD-3-Clause
"""Logs for programs."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyaiot.app.runner import JsonFormatter
from tests.programs import ANY_PORTS, Programs


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
