# SPDX-License-Identifier: BSD-3-Clause
"""How the doctor judges facts, and how it shows what it found."""

import asyncio
import io
from collections.abc import Sequence

import pytest

from pyaiot.cli.doctor import report
from pyaiot.cli.terminal import Paint
from pyaiot.doctor import findings
from pyaiot.doctor.doctor import LOOK_LIMIT_S, _limited
from pyaiot.doctor.findings import Finding, exit_code, summary
from pyaiot.errors import OperatorError

OK = Finding("machine", "IPv6", "ok", "works")
NOTE = Finding("machine", "clock", "note", "runs by itself", "run an NTP client")
WRONG = Finding("ports", "CoAP", "wrong", "UDP port 5683 is taken", "choose another")


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (findings.open_files(1024, 4096), "note"),
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
        (findings.ipv6(enabled=False, link_local=()), "wrong"),
        (findings.ipv6(enabled=True, link_local=()), "note"),
        (findings.ipv6(enabled=True, link_local=["eth0"]), "ok"),
        (findings.disk("/data", findings.FREE_WRONG_BYTES - 1), "wrong"),
        (findings.disk("/data", findings.FREE_NOTE_BYTES - 1), "note"),
        (findings.disk("/data", findings.FREE_NOTE_BYTES), "ok"),
    ],
)
def test_facts_are_judged_and_what_is_not_ok_says_what_to_do(
    finding: Finding, verdict: str
) -> None:
    assert finding.verdict == verdict
    assert bool(finding.do) == (verdict != "ok")


def test_a_limit_of_open_files_is_never_advised_beyond_what_the_system_allows() -> None:
    assert "ulimit -n 2048" in findings.open_files(1024, 2048).do
    assert f"ulimit -n {findings.FILES_ENOUGH}" in findings.open_files(1024, -1).do


def test_it_says_which_clock_is_ahead() -> None:
    assert "3,600 s ahead of" in findings.clock_of_broker(7200.0, 3600.0).says
    assert "3,600 s behind" in findings.clock_of_broker(3600.0, 7200.0).says


@pytest.mark.parametrize(
    ("found", "code", "sentence"),
    [
        ([OK], 0, "Nothing is wrong, no notes."),
        ([OK, NOTE], 0, "Nothing is wrong, 1 note."),
        ([NOTE, WRONG, WRONG, NOTE], 1, "2 things to mend, 2 notes."),
    ],
)
def test_only_what_is_wrong_makes_the_exit_code_1(
    found: Sequence[Finding], code: int, sentence: str
) -> None:
    assert (exit_code(found), summary(found)) == (code, sentence)


def test_the_report_says_of_each_finding_how_it_is_in_a_word_and_what_to_do() -> None:
    assert report([OK, NOTE, WRONG], Paint(io.StringIO())).splitlines() == [
        "machine",
        "  ✓ ok     IPv6   works",
        "  ! note   clock  runs by itself",
        "                → run an NTP client",
        "",
        "ports",
        "  ✗ wrong  CoAP   UDP port 5683 is taken",
        "                → choose another",
        "",
        "1 thing to mend, 1 note.",
    ]


def test_long_words_are_wrapped_under_themselves_and_no_stranger_reaches_the_terminal() -> None:
    long = Finding("broker", "running", "wrong", "word " * 40 + "\x1b[31m", "do " * 60)
    lines = report([long], Paint(io.StringIO())).splitlines()
    assert max(map(len, lines)) <= 80
    assert {line[:20] for line in lines[2:4]} == {" " * 20}
    assert "\x1b" not in "".join(lines)
    assert "\\x1b[31m" in "".join(lines)


async def test_a_part_that_does_not_end_is_a_finding_and_the_others_are_told() -> None:
    async def never() -> list[Finding]:
        await asyncio.Future()
        return []

    ended: list[str] = []
    loop = asyncio.get_running_loop()
    started = loop.time()
    [found] = await _limited("round trip", never(), ended.append)
    assert loop.time() - started == pytest.approx(LOOK_LIMIT_S)
    assert (found.area, found.verdict, ended) == ("round trip", "wrong", ["round trip"])


async def test_what_an_operator_has_to_mend_is_a_finding() -> None:
    async def refused() -> list[Finding]:
        raise OperatorError("The folder cannot be used: it is full.")

    [found] = await _limited("settings", refused(), lambda _: None)
    assert (found.verdict, found.says) == ("wrong", "The folder cannot be used: it is full")
