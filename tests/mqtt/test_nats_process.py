# SPDX-License-Identifier: BSD-3-Clause
"""The end of a nats-server: one of a cluster passes its streams to others before."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from pyaiot.mqtt.embedded.nats_process import PASS_ON_LIMIT_S, end_nats
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 20.0
PROGRAM = """
import signal, sys, time
def pass_on(*_):
    open({note!r}, "w").close()
    for line in {lines!r}:
        print("[1] [INF] " + line, file=sys.stderr, flush=True)
signal.signal(signal.SIGUSR2, pass_on)
if {ignores_sigterm}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("runs", file=sys.stderr, flush=True)
while True:
    time.sleep(60)
"""
PASSES_ON = ["Entering lame duck mode", "x" * 100, "Initiating JetStream Shutdown..."]


async def ended(
    note: Path, lines: list[str], *, is_of_cluster: bool, ignores_sigterm: bool = True
) -> tuple[int | None, float]:
    """How a nats-server with these lines in its log ended, and after how many seconds."""
    program = PROGRAM.format(note=str(note), lines=lines, ignores_sigterm=ignores_sigterm)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stderr=asyncio.subprocess.PIPE, limit=64
    )
    assert child.stderr is not None
    async with time_limit(LIMIT_S):
        assert await child.stderr.readline() == b"runs\n"
        began = time.monotonic()
        await end_nats(child, is_of_cluster)
    return child.returncode, time.monotonic() - began


async def test_one_of_a_cluster_is_killed_when_it_has_passed_its_streams_on(tmp_path: Path) -> None:
    note = tmp_path / "note"
    lines = [*PASSES_ON, "JetStream Shutdown"]
    code, after_s = await ended(note, lines, is_of_cluster=True)
    assert note.exists()
    assert code == -signal.SIGKILL
    assert after_s < PASS_ON_LIMIT_S


async def test_one_that_does_not_pass_them_on_is_killed(tmp_path: Path) -> None:
    code, after_s = await ended(tmp_path / "note", PASSES_ON, is_of_cluster=True)
    assert code == -signal.SIGKILL
    assert PASS_ON_LIMIT_S <= after_s < PASS_ON_LIMIT_S + LIMIT_S / 2


async def test_one_that_is_alone_is_terminated(tmp_path: Path) -> None:
    note = tmp_path / "note"
    code, _after_s = await ended(note, [], is_of_cluster=False, ignores_sigterm=False)
    assert code == -signal.SIGTERM
    assert not note.exists()


@pytest.mark.parametrize("is_of_cluster", [False, True])
async def test_one_that_has_ended_stays_so(is_of_cluster: bool) -> None:
    child = await asyncio.create_subprocess_exec("true", stderr=asyncio.subprocess.PIPE)
    await child.wait()
    await end_nats(child, is_of_cluster)
    assert child.returncode == 0
