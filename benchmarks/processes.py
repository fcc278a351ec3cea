# SPDX-License-Identifier: BSD-3-Clause
"""Processes under test, and worker processes that load them. Linux only."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
READY_LIMIT_S: Final = 20.0
END_LIMIT_S: Final = 5.0


class BenchmarkError(Exception):
    """A figure could not be measured. The text is the reason."""


@dataclass(frozen=True)
class Home:
    """A temporary home directory with a key file of `aiot generate-keys`."""

    path: Path
    secret: str
    private: bytes

    @property
    def key_file(self) -> Path:
        return self.path / "keys"

    def token(self) -> str:
        """A new token of a legacy gateway (legacy protocol, section 2)."""
        from cryptography.fernet import Fernet  # Slow to import, and workers do not need it.

        return Fernet(self.private).encrypt(self.secret.encode()).decode()


@contextlib.contextmanager
def temporary_home() -> Iterator[Home]:
    """A `Home` that is removed at the end of the block."""
    from cryptography.fernet import Fernet

    with tempfile.TemporaryDirectory(prefix="aiot-benchmark-") as folder:
        home = Home(Path(folder), secret="benchmark".ljust(32, "x"), private=Fernet.generate_key())
        home.key_file.touch(mode=0o600)
        home.key_file.write_text(
            f"[keys]\nsecret={home.secret}\nprivate={home.private.decode()}\n", encoding="ascii"
        )
        yield home


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A free port of loopback."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """CPU time of a process in seconds: all threads, user and system.

    It reads the kernel's clock of the process in nanoseconds: /proc/<pid>/stat counts ticks of
    10 ms, too coarse for a window of a second.
    """
    return time.clock_gettime((~pid << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError(f"process {pid} has no memory")


class Server:
    """A process under test, started like a user starts it and ended with SIGTERM."""

    def __init__(self, arguments: Sequence[str], *, home: Home, port: int) -> None:
        """`arguments` follow `python`. The server is ready when `port` answers."""
        self.port = port
        self._log = (home.path / f"server-{port}.log").open("w+b")
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={
                **{name: text for name, text in os.environ.items() if not name.startswith("AIOT_")},
                # All nodes appear at once here, which is not an attack.
                "AIOT_COAP_NEW_NODES_PER_S": "10000",
                "AIOT_MQTT_NEW_NODES_PER_S": "10000",
                "AIOT_WEBSOCKET_NODES_PER_HOST_MAX": "100000",
                "HOME": str(home.path),
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def wait_ready(self, path: str = "/") -> float:
        """Wait until `path` is served. Returns the seconds since the start of the process."""
        while time.monotonic() - self.started_at < READY_LIMIT_S:
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self.name} exited at once: {self.log()}")
            if is_served(self.port, path):
                return time.monotonic() - self.started_at
            time.sleep(0.002)
        raise BenchmarkError(f"{self.name} was not ready in {READY_LIMIT_S:.0f} s: {self.log()}")

    @property
    def name(self) -> str:
        arguments = self._process.args
        return " ".join(map(str, arguments[1:4])) if isinstance(arguments, list) else "a server"

    def log(self) -> str:
        """The last part of its output."""
        self._log.flush()
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")[-2000:].strip()

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)

    def pause(self) -> None:
        """Stop it, so that its backlog uses no CPU while another server is measured."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Terminate the process; kill it after END_LIMIT_S."""
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


def is_served(port: int, path: str) -> bool:
    """Whether an HTTP server answers with a status of 2xx or 4xx."""
    try:
        with socket.create_connection((HOST, port), timeout=READY_LIMIT_S) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode()
            )
            return connection.recv(64).startswith((b"HTTP/1.1 2", b"HTTP/1.1 4"))
    except OSError:
        return False


class Worker:
    """A worker process: it reads a JSON command per line and writes a JSON answer per line.

    It exits at the end of its standard input, so it does not outlive its parent.
    """

    def __init__(self, module: str, **spec: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(spec)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self._name = module
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            self.ready = self._answer()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def call(self, do: str, **details: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"the process {self._name} exited without an answer")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self._name}: {answer['error']}")
        return answer

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def answer(**values: Any) -> None:
    """In the worker: answer a command."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def run_worker(open_: Callable[[dict[str, Any]], object], *actions: str) -> None:
    """In the worker: build its object from the specification, then call a method for each command.

    `actions`: the methods that commands may name. Each returns its answer. An error is reported to
    the parent, and ends the worker.
    """
    try:
        worker = open_(json.loads(sys.argv[1]))
        answer(ready=True)
        for line in sys.stdin:
            command = json.loads(line)
            action = command.pop("do")
            if action not in actions:
                raise ValueError(f"no action {action}")
            answer(**getattr(worker, action)(**command))
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent
        answer(error=f"{type(error).__name__}: {error}")
