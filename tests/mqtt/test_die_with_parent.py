# SPDX-License-Identifier: BSD-3-Clause
"""An embedded nats-server whose parent was killed ends before the next one starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyaiot.mqtt.embedded import die_with_parent
from pyaiot.mqtt.embedded.die_with_parent import EARLIER_LIMIT_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")

LIMIT_S = EARLIER_LIMIT_S + 10.0
_RUNS = "print('runs', flush=True); time.sleep(60)"
PROGRAM = f"import time; {_RUNS}"
IGNORES_SIGTERM = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_RUNS}"


def command(parent: int | str, lock: Path, program: str) -> list[str]:
    script = [sys.executable, "-I", "-S", die_with_parent.__file__, str(parent)]
    return [*script, str(int(signal.SIGTERM)), str(lock), sys.executable, "-c", program]


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def runs(child: subprocess.Popen[bytes]) -> bool:
    """Waits until it does, or has ended."""
    assert child.stdout is not None
    return child.stdout.readline() == b"runs\n"


def test_the_next_one_waits_until_the_earlier_one_has_ended(tmp_path: Path) -> None:
    words = command(os.getpid(), tmp_path / "lock", PROGRAM)
    with started(words) as earlier:
        assert runs(earlier)
        with started(words) as following:
            time.sleep(0.5)
            ended_at = time.monotonic()
            earlier.terminate()
            assert runs(following)
            assert time.monotonic() - ended_at < EARLIER_LIMIT_S
            assert earlier.wait(LIMIT_S) == -signal.SIGTERM


def test_an_earlier_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with started(command(os.getpid(), tmp_path / "lock", IGNORES_SIGTERM)) as earlier:
        assert runs(earlier)
        began = time.monotonic()
        with started(command(os.getpid(), tmp_path / "lock", PROGRAM)) as following:
            assert runs(following)
            assert time.monotonic() - began >= EARLIER_LIMIT_S
            assert earlier.wait(LIMIT_S) == -signal.SIGKILL


def test_the_program_gets_the_signal_when_its_parent_is_killed(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    program = (
        "import signal, sys, time; signal.signal(signal.SIGTERM,"
        f" lambda *_: (open({str(ended)!r}, 'w').close(), sys.exit())); {_RUNS}"
    )
    words = command("PARENT", tmp_path / "lock", program)
    parent = f"import os, subprocess; words = {words!r}; words[4] = str(os.getpid());"
    with started([sys.executable, "-c", f"{parent} subprocess.run(words)"]) as child:
        assert runs(child)
        child.kill()
        until = time.monotonic() + LIMIT_S
        while not ended.exists():
            assert time.monotonic() < until
            time.sleep(0.02)


def test_the_program_can_log_its_end_when_its_parent_was_killed(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    # Python ignores SIGPIPE, by which a Go program ends that writes to a closed log.
    program = (
        "import signal, sys, time; signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "def end(*_):\n"
        "    print('ends', file=sys.stderr, flush=True)\n"
        f"    open({str(ended)!r}, 'w').close()\n"
        "    sys.exit()\n"
        f"signal.signal(signal.SIGTERM, end)\n{_RUNS}"
    )
    words = command("PARENT", tmp_path / "lock", program)
    parent = (
        f"import os, subprocess; words = {words!r}; words[4] = str(os.getpid());"
        " subprocess.Popen(words, stderr=subprocess.PIPE).wait()"
    )
    with started([sys.executable, "-c", parent]) as child:
        assert runs(child)
        child.kill()
        until = time.monotonic() + LIMIT_S
        while not ended.exists():
            assert time.monotonic() < until
            time.sleep(0.02)
