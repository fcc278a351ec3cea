# SPDX-License-Identifier: BSD-3-Clause
"""The output of a fleet: the table fits 80 columns and reports irregularities."""

import io
from collections import Counter
from typing import Any

import msgspec
import pytest

from pyaiot.fleet.lateness import Lateness
from pyaiot.fleet.ledger import Ledger, Tally
from pyaiot.fleet.progress import PLAIN_LINES_EVERY, Progress
from pyaiot.fleet.report import Report, as_json, progress, table


def ledger(count: int) -> Ledger:
    """A ledger of four protocols with `count` readings each, all seen."""
    book = Ledger()
    for protocol in ("CoAP", "MQTT", "MQTT-SN", "WebSocket"):
        series = book.add_node(f"node-{protocol}", protocol)
        for _ in range(count):
            number = series.send(now=0.0)
            series.acknowledge(number)
            series.see(number, now=0.0123)
    book.close()
    return book


def report(book: Ledger, **its: Any) -> Report:
    lateness = Lateness()
    lateness.add(0.003)
    values: dict[str, Any] = {
        "tallies": list(book.tallies.values()),
        "total": book.total(),
        "seconds": 60.0,
        "requested_per_s": 2000.0,
        "commands_sent": 60,
        "commands_ended": Counter({"confirmed": 59, "timeout": 1}),
        "commands_lateness": lateness,
        "broker_connections": 1,
        "cpu_s": 12.0,
    }
    return Report(**(values | its))


def test_table_of_a_quiet_run() -> None:
    lines = table(report(ledger(3))).splitlines()
    assert lines[0].split() == [
        "protocol",
        "nodes",
        "sent",
        "acked",
        "seen",
        "superseded",
        "lost",
        "twice",
        "p50",
        "ms",
        "p99",
        "ms",
    ]
    assert lines[1].split() == ["CoAP", "1", "3", "3", "3", "0", "0", "0", "12.3", "12.3"]
    assert lines[5].split()[0] == "all"
    assert lines[7:] == [
        "Sent 0 of 2,000 readings a second for 60 s, with 20 % of a core.",
        "Commands: 60 sent, 59 confirmed, 1 timeout; p50 3.0 ms, p99 3.0 ms.",
        "No acknowledged reading was lost.",
    ]


def test_table_fits_80_columns_with_millions_of_readings() -> None:
    book = ledger(1)
    for tally in book.tallies.values():
        tally.sent = tally.acknowledged = tally.seen = 9_999_999
        tally.superseded = tally.lost = tally.duplicates = 999
        tally.nodes = 1000
    lines = table(report(book)).splitlines()
    assert all(len(line.split()) == 10 for line in lines[1:6])
    assert max(map(len, lines)) <= 80
    assert len(progress(book.total(), 86_400.0, 20_000.0)) <= 79


def test_lost_readings_are_reported_and_set_the_exit_code() -> None:
    book = ledger(1)
    series = book.add_node("another", "CoAP")
    series.acknowledge(series.send(now=0.0))
    book.close()
    it = report(book)
    assert it.exit_code == 1
    assert "LOST: 1 readings" in table(it)
    assert "No acknowledged reading was lost" not in table(it)


def test_unexpected_values_are_reported_and_set_the_exit_code() -> None:
    book = ledger(1)
    book.see("node-MQTT", "77", now=0.0)
    it = report(book)
    assert it.exit_code == 1
    assert "WRONG: 1 values" in table(it)


def test_irregularities_are_reported_in_a_line() -> None:
    book = ledger(1)
    tally = book.tallies["CoAP"]
    tally.refusals["5.03"] = 2
    tally.connections = 4
    tally.skipped = 7
    tally.longest_gap_s = 2.5
    text = table(report(book, broker_connections=2, notes=("Stopped early.",)))
    assert (
        "CoAP: 2 refused with 5.03; 3 reconnections; 7 readings skipped;"
        " no reading seen for 2.5 s.\n" in text
    )
    assert "Connected to the broker 2 times.\nStopped early.\n" in text


def test_json_has_the_same_figures() -> None:
    it = as_json(report(ledger(3)))
    assert msgspec.json.decode(msgspec.json.encode(it)) == it
    assert it["exit_code"] == 0
    assert it["protocols"]["MQTT-SN"]["acknowledged"] == 3
    assert it["total"]["sent"] == 12
    assert it["total"]["p50_ms"] == pytest.approx(12.3, rel=0.02)
    assert it["commands"]["ended"] == {"confirmed": 59, "timeout": 1}


def test_percentiles_without_readings_are_empty() -> None:
    book = Ledger()
    book.add_node("a", "CoAP")
    assert table(report(book)).splitlines()[1].split()[-2:] == ["-", "-"]
    assert as_json(report(book))["total"]["p99_ms"] is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_line_on_a_terminal_is_overwritten_and_removed() -> None:
    terminal = Terminal()
    lines = Progress(terminal)
    printed: list[str] = []
    lines("first")
    lines("second")
    lines.before(printed.append)("result")
    assert "\n" not in terminal.getvalue()
    parts = terminal.getvalue().split("\r")
    assert [part.strip() for part in parts] == ["", "first", "second", "", ""]
    assert printed == ["result"]


def test_progress_in_a_log_is_plain_and_rare() -> None:
    log = io.StringIO()
    lines = Progress(log)
    for second in range(2 * PLAIN_LINES_EVERY):
        lines(f"{second}")
    assert log.getvalue().split("\n") == ["0", "10", ""]


def test_empty_tally_has_no_undecided_readings() -> None:
    assert Tally("CoAP").undecided == 0
