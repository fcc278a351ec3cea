# SPDX-License-Identifier: BSD-3-Clause
"""Third-party MQTT brokers, and a device based on paho, for tests."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.programs import free_port

PATIENCE_S = 10.0


def nats_server() -> str:
    """The nats-server of the environment. Skips the test if it is not installed."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("nats-server is not installed")
    return found


def mosquitto() -> str:
    """The path of mosquitto. Skips the test if it is not installed."""
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    return found


class Server:
    """An MQTT broker on a port of loopback that can be killed and started again."""

    def __init__(self, command: Sequence[str], port: int, folder: Path) -> None:
        self._command = command
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def stop_answering(self) -> None:
        """Stop the process (SIGSTOP): its connections stay open, and it does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def server(kind: str, folder: Path, *more: str) -> Iterator[Server]:
    """`nats` or `mosquitto`, not started yet, with additional lines of settings."""
    port = free_port(socket.SOCK_STREAM)
    settings = folder / f"{kind}.conf"
    if kind == "nats":
        lines = [
            'server_name: "test"',
            "listen: 127.0.0.1:-1",
            f'jetstream {{ store_dir: "{folder}/js" }}',
            f"mqtt {{ listen: 127.0.0.1:{port} }}",
        ]
        command = [nats_server(), "-c", str(settings)]
    else:
        lines = [f"listener {port} 127.0.0.1", "set_tcp_nodelay true"]
        if not any("allow_anonymous" in line for line in more):
            lines.append("allow_anonymous true")
        command = [mosquitto(), "-c", str(settings)]
    settings.write_text("\n".join([*lines, *more, ""]))
    running = Server(command, port, folder)
    try:
        yield running
    finally:
        running.kill()
