# SPDX-License-Identifier: BSD-3-Clause
"""How the doctor judges facts and prints its findings."""

import asyncio
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from pyaiot.cli.doctor import report
from pyaiot.cli.formatting import as_json
from pyaiot.cli.terminal import Paint
from pyaiot.doctor import findings
from pyaiot.doctor.doctor import AREA_LIMIT_S, _limited
from pyaiot.doctor.findings import Finding, exit_code, summary
from pyaiot.errors import OperatorError
from pyaiot.transport.tls import Certificate

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def expiring(days: float) -> Certificate:
    return Certificate((), NOW - timedelta(days=1), NOW + timedelta(days=days), "")


OK = Finding("machine", "IPv6", "ok", "works")
NOTE = Finding("machine", "clock", "note", "runs by itself", "run an NTP client")
WRONG = Finding("ports", "CoAP", "wrong", "UDP port 5683 is in use", "choose another")


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (findings.open_files(1024, 4096), "note"),
        (findings.certificate("c.pem", expiring(15), NOW), "ok"),
        (findings.certificate("c.pem", expiring(13.9), NOW), "note"),
        (findings.certificate("c.pem", expiring(-0.1), NOW), "wrong"),
        (findings.certificate("c.pem", expiring(99), NOW - timedelta(days=2)), "wrong"),
        (findings.open_files(65_536, 65_536), "ok"),
        (findings.open_files(-1, -1), "ok"),
        (findings.receive_buffer(4096, 4096), "ok"),
        (findings.receive_buffer(4095, 4096), "note"),
        (findings.clock(1970, synchronised=None), "wrong"),
        (findings.clock(2026, synchronised=False), "note"),
        (findings.clock(2026, synchronised=None), "ok"),
        (findings.clock(2026, synchronised=True), "ok"),
        (findings.clock_of_broker(1000.0, 1001.9), "ok"),
        (findings.clock_of_broker(1000.0, 1002.1), "note"),
        (findings.clock_of_broker(1000.0, 940.0), "wrong"),
        (findings.nats_connection(connected=True, problem=""), "ok"),
        (findings.nats_connection(connected=False, problem="refused"), "wrong"),
        (findings.reachable([], ["b"]), "ok"),
        (findings.reachable([], []), "note"),
        (findings.reachable(["c"], ["b"]), "wrong"),
        (findings.incompatible("1", {"b": "3"}), "wrong"),
        (findings.clocks({}), "ok"),
        (findings.clocks({"b": -3600.0}), "wrong"),
        (findings.versions("1", {"b": "1"}), "ok"),
        (findings.versions("1", {"b": "1", "c": "2"}), "note"),
        (findings.ipv6(enabled=False, link_local=()), "wrong"),
        (findings.ipv6(enabled=True, link_local=()), "note"),
        (findings.ipv6(enabled=True, link_local=["eth0"]), "ok"),
        (findings.disk("/data", findings.FREE_WRONG_BYTES - 1), "wrong"),
        (findings.disk("/data", findings.FREE_NOTE_BYTES - 1), "note"),
        (findings.disk("/data", findings.FREE_NOTE_BYTES), "ok"),
    ],
)
def test_facts_are_judged_and_each_finding_that_is_not_ok_has_an_action(
    finding: Finding, verdict: str
) -> None:
    assert finding.verdict == verdict
    assert bool(finding.action) == (verdict != "ok")


def test_the_recommended_limit_of_open_files_is_at_most_the_hard_limit() -> None:
    assert "ulimit -n 2048" in findings.open_files(1024, 2048).action
    assert f"ulimit -n {findings.FILES_ENOUGH}" in findings.open_files(1024, -1).action


def test_the_text_names_the_clock_that_is_ahead() -> None:
    assert "3,600 s ahead of" in findings.clock_of_broker(7200.0, 3600.0).text
    assert "3,600 s behind" in findings.clock_of_broker(3600.0, 7200.0).text


@pytest.mark.parametrize(
    ("found", "code", "sentence"),
    [
        ([OK], 0, "No problems found, no notes."),
        ([OK, NOTE], 0, "No problems found, 1 note."),
        ([NOTE, WRONG, WRONG, NOTE], 1, "2 problems, 2 notes."),
    ],
)
def test_the_exit_code_is_1_only_if_there_is_a_problem(
    found: Sequence[Finding], code: int, sentence: str
) -> None:
    assert (exit_code(found), summary(found)) == (code, sentence)


def test_the_json_form_keeps_the_names_that_scripts_read() -> None:
    assert json.loads(as_json(OK)) == {
        "area": "machine",
        "about": "IPv6",
        "verdict": "ok",
        "says": "works",
    }
    assert json.loads(as_json(NOTE))["do"] == "run an NTP client"


def test_the_report_has_the_verdict_and_the_action_of_each_finding() -> None:
    assert report([OK, NOTE, WRONG], Paint(io.StringIO())).splitlines() == [
        "machine",
        "  ✓ ok     IPv6   works",
        "  ! note   clock  runs by itself",
        "                → run an NTP client",
        "",
        "ports",
        "  ✗ wrong  CoAP   UDP port 5683 is in use",
        "                → choose another",
        "",
        "1 problem, 1 note.",
    ]


def test_long_texts_are_wrapped_with_an_indent_and_control_characters_are_escaped() -> None:
    long = Finding("broker", "running", "wrong", "word " * 40 + "\x1b[31m", "do " * 60)
    lines = report([long], Paint(io.StringIO())).splitlines()
    assert max(map(len, lines)) <= 80
    assert {line[:20] for line in lines[2:4]} == {" " * 20}
    assert "\x1b" not in "".join(lines)
    assert "\\x1b[31m" in "".join(lines)


async def test_a_check_that_does_not_end_is_a_finding() -> None:
    async def never() -> list[Finding]:
        await asyncio.Future()
        return []

    ended: list[str] = []
    loop = asyncio.get_running_loop()
    started = loop.time()
    [found] = await _limited("round trip", never(), ended.append)
    assert loop.time() - started == pytest.approx(AREA_LIMIT_S)
    assert (found.area, found.verdict, ended) == ("round trip", "wrong", ["round trip"])


async def test_an_operator_error_is_a_finding() -> None:
    async def refused() -> list[Finding]:
        raise OperatorError("The folder cannot be used: it is full.")

    [found] = await _limited("settings", refused(), lambda _: None)
    assert (found.verdict, found.text) == ("wrong", "The folder cannot be used: it is full")
