# SPDX-License-Identifier: BSD-3-Clause
"""Attack 14: no free file descriptors: no busy loop, few log lines, and recovery."""

import contextlib
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.programs import Program, Programs

DESCRIPTORS_MAX = 64
CONNECTIONS = 3 * DESCRIPTORS_MAX
EXHAUSTED_S = 2.0
RECOVERY_LIMIT_S = 5.0
CPU_MAX_S = 0.2
"""Processor time in `EXHAUSTED_S`; more is a busy loop."""
LINES_MAX = 10

HELD_ELSEWHERE = 40
"""Descriptors that other parts of the process hold. The listener itself uses at most a quarter."""

BROKER = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range({held})]
if sys.argv.pop(1) == "asyncio":
    sys.modules["uvloop"] = None  # as if it were not installed
from pyaiot.cli.entry import main
main()
"""


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, in user code and in the system."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def start_broker(programs: Programs, loop: str) -> tuple[Program, int]:
    program = programs.start(
        *(sys.executable, "-c", BROKER.format(limit=DESCRIPTORS_MAX, held=HELD_ELSEWHERE), loop),
        *("broker", "--port", "0", "--key-file", programs.key_file()),
    )
    found = re.search(r":(\d+)/", program.line())
    assert found is not None
    return program, int(found[1])


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), RECOVERY_LIMIT_S)


def status_of(sock: socket.socket, path: str) -> bytes:
    """The status of the answer."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock.recv(1 << 16).split()[1]


def recovered(port: int) -> bool:
    """Whether a new connection is served soon; libuv resets those that waited too long."""
    deadline = time.monotonic() + RECOVERY_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError, IndexError), connect(port) as sock:
            return status_of(sock, "/readyz") == b"200"
    return False


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_broker_without_free_descriptors_waits_quietly_and_recovers(
    loop: str, programs: Programs
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    program, port = start_broker(programs, loop)
    # An open connection is served all the time.
    with contextlib.ExitStack() as opened, connect(port) as early:
        assert status_of(early, "/healthz") == b"200"
        for _ in range(CONNECTIONS):
            opened.enter_context(connect(port))
        used_s = cpu_s(program.pid)
        # Real time must pass here to detect a busy loop.
        time.sleep(EXHAUSTED_S)
        assert len(list(Path(f"/proc/{program.pid}/fd").iterdir())) >= DESCRIPTORS_MAX - 1
        assert status_of(early, "/healthz") == b"200"
        assert cpu_s(program.pid) - used_s <= CPU_MAX_S
        assert "Traceback" not in program.stderr
        assert len(program.stderr.splitlines()) <= LINES_MAX
    assert recovered(port)
    program.send(signal.SIGTERM)
    assert program.exit_code(5.0) == 0
    assert "Traceback" not in program.stderr
