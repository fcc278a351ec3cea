# SPDX-License-Identifier: BSD-3-Clause
"""Notifications of a service to systemd, over a real socket."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyaiot.systemd.notify import notify, notify_ready, watchdog_interval_s, watched
from tests.programs import ANY_PORTS, Programs

MICROSECONDS = 1_000_000


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10.0)
        yield receiver


def messages_of(manager: socket.socket) -> list[bytes]:
    manager.setblocking(False)
    found = []
    try:
        while True:
            found.append(manager.recv(4096))
    except BlockingIOError:
        return found


def test_fields_are_lines_of_one_datagram(manager: socket.socket) -> None:
    notify({"NOTIFY_SOCKET": manager.getsockname()}, READY="1", STATUS="on port 8000")
    assert messages_of(manager) == [b"READY=1\nSTATUS=on port 8000"]


def test_abstract_address_begins_with_an_at_sign() -> None:
    name = f"pyaiot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        notify({"NOTIFY_SOCKET": f"@{name}"}, READY="1")
        assert messages_of(receiver) == [b"READY=1"]


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket", "@" + "x" * 200])
def test_missing_manager_is_no_error(address: str) -> None:
    notify({"NOTIFY_SOCKET": address}, READY="1")
    notify({}, READY="1")


def test_status_is_one_short_line(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    notify_ready("Pyaiot:\n" + "x" * 1000)
    (message,) = messages_of(manager)
    assert message == b"READY=1\nSTATUS=Pyaiot: " + b"x" * 192


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_is_fed_twice_in_its_time(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert watchdog_interval_s(environ, 7) == interval_s


async def test_turns_of_the_loop_feed_the_watchdog(manager: socket.socket) -> None:
    environ = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": str(20 * MICROSECONDS),
    }
    with watched(asyncio.get_running_loop(), environ):
        await asyncio.sleep(35)
        assert messages_of(manager) == [b"WATCHDOG=1"] * 4
    await asyncio.sleep(100)
    assert messages_of(manager) == [b"STOPPING=1"]


@pytest.mark.sockets
def test_service_is_ready_when_its_listeners_are_open(
    manager: socket.socket, tmp_path: Path
) -> None:
    programs = Programs(tmp_path)
    try:
        running = programs.aiot(
            "run",
            *(*ANY_PORTS, "--host", "127.0.0.1", "--behind-proxy"),
            NOTIFY_SOCKET=manager.getsockname(),
            JOURNAL_STREAM="8:1",
            WATCHDOG_USEC=str(60 * MICROSECONDS),
        )
        printed = running.startup_text()
        received = [manager.recv(4096)]
        while b"READY=1" not in received[-1]:
            received.append(manager.recv(4096))
        assert received[0] == b"WATCHDOG=1"
        assert b"STATUS=Pyaiot: http://127.0.0.1:" in received[-1]
        # The journal is read by others: a sign-in link does not belong there.
        assert "token=" not in printed + running.stderr
        assert "aiot service exec invite" in running.stderr
        # A reload that finds nothing to read does not end the service.
        running.send(signal.SIGHUP)
        running.send(signal.SIGTERM)
        assert running.exit_code(5.0) == 0
        assert manager.recv(4096) == b"STOPPING=1"
    finally:
        programs.close()
