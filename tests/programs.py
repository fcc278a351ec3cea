# SPDX-License-Identifier: BSD-3-Clause
"""Starts, reads and ends commands of Pyaiot and of others, and checks that no process remains."""

import contextlib
import functools
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pyaiot.broker.keys import generate_keys, write_keys
from tests.preloaded import ForkedProcess, Preloaded
from tests.time_limits import Stopwatch

AIOT: Final = (sys.executable, "-m", "pyaiot")
LINE_LIMIT_S: Final = 15.0
"""How long a program may take to print its first line."""
ANY_PORTS: Final = (
    *("--web-port", "0", "--coap-port", "0", "--ws-port", "0", "--mqtt-port", "0"),
    *("--mqttsn-port", "0", "--coaps-port", "0"),
)
"""For `aiot run` and `aiot demo`, beside others on this machine."""
NO_AUTHORITIES: Final = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""No test uses the public certificate authorities. aiohttp loads them at each start, which takes a
fifth of the time of most commands."""
TCP_LISTEN: Final = "0A"
"""The state of a listening socket in /proc/net/tcp."""


class Program:
    """One process in its own session, with its standard output and error."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        preloaded: Preloaded | None = None,
        umask: int | None = None,
    ) -> None:
        """With `preloaded`, `command` is a command of `aiot`, which is forked."""
        self._stderr = folder / "stderr"
        self._process: subprocess.Popen[bytes] | ForkedProcess
        with self._stderr.open("wb") as stderr:
            if preloaded is not None:
                self._process = preloaded.start(
                    _arguments_of_aiot(command) or (),
                    folder=folder,
                    environment=environment,
                    umask=umask,
                    stderr=stderr,
                )
            else:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    umask=-1 if umask is None else umask,
                    start_new_session=True,
                )
        self.pid = self._process.pid
        self._children: list[int] = []

    def line(self, limit_s: float = LINE_LIMIT_S) -> str:
        """The next line on standard output."""
        assert self._process.stdout is not None
        line = b""
        watch = Stopwatch(self.pid)
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
            while not ready and (left_s := limit_s - watch.elapsed_s) > 0:
                ready, _, _ = select.select([self._process.stdout], [], [], left_s)
            piece = self._process.stdout.read(1) if ready else b""
            assert piece, f"printed only {line!r}; stderr: {self.stderr}"
            line += piece
        return line.decode().rstrip("\n")

    def startup_text(self) -> str:
        """The lines that a service prints at its start."""
        lines = [self.line()]
        while not lines[-1].endswith("(Ctrl+C ends it)"):
            lines.append(self.line())
        return "\n".join(lines)

    def rest(self) -> str:
        """The rest of the standard output of a program that has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.read().decode()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    def children(self) -> list[int]:
        """The running processes that it started."""
        return [pid for pid, parent, _ in _processes() if parent == self.pid]

    def send(self, number: signal.Signals) -> None:
        self._children = self.children()
        self._process.send_signal(number)

    def exit_code(self, limit_s: float) -> int:
        """Wait until it ends. Raises `subprocess.TimeoutExpired`."""
        watch = Stopwatch(self.pid)
        while True:
            try:
                return self._process.wait(max(limit_s - watch.elapsed_s, 0.01))
            except subprocess.TimeoutExpired:
                if watch.elapsed_s > limit_s:
                    raise

    def kill(self) -> None:
        """Kill it and all processes that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def orphans(self) -> list[int]:
        """Processes that still run after its end: those of its session, and its former children."""
        return [
            pid
            for pid, _, session in _processes()
            if (session == self.pid or pid in self._children) and pid != self.pid
        ]

    def open_ports(self) -> set[tuple[str, int]]:
        """`("udp", port)` and `("tcp", port)` of each port that it listens on."""
        own = set()
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                own.add(str(link.readlink()))
        found = set()
        for table in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"):
            path = Path(f"/proc/{self.pid}/net/{table}")
            if not path.exists():
                continue
            for row in path.read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, _, _, _, _, _, inode, *_ = row.split()
                if f"socket:[{inode}]" in own and (state == TCP_LISTEN or "tcp" not in table):
                    found.add((table.removesuffix("6"), int(local.rpartition(":")[2], 16)))
        return found


class Programs:
    """Starts programs outside of the checkout, with a separate home folder."""

    def __init__(self, home: Path, *, preloaded: bool = True, umask: int | None = None) -> None:
        """`preloaded`: whether `aiot` is forked (`tests/preloaded.py`), where that is the same.
        `umask`: of what `start` starts; None: that of the tests.
        """
        self.home = home
        self._umask = umask
        self._is_preloaded = preloaded
        self._started: list[Program] = []

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a user without settings for Python or Pyaiot."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIOT_", "PYTHON", "XDG_"))
        }
        return {**kept, **NO_AUTHORITIES, "HOME": str(self.home), **more}

    def start(self, *command: str | Path, **environment: str) -> Program:
        """Start a program. It is ended with the test, at the latest."""
        variables = self.environment(**environment)
        return self._start(command, variables, self._preloaded_for(command, variables))

    def _start(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        preloaded: Preloaded | None,
    ) -> Program:
        folder = self.home / f"program-{len(self._started)}"
        folder.mkdir()
        program = Program(command, folder, environment, preloaded, self._umask)
        self._started.append(program)
        return program

    def aiot(self, *arguments: str | Path, **environment: str) -> Program:
        """Start `aiot` with these arguments."""
        return self.start(*AIOT, *arguments, **environment)

    def aiot_by_name(self, *arguments: str | Path, **environment: str) -> Program:
        """The same, but never forked, so that the system shows its command line."""
        return self._start((*AIOT, *arguments), self.environment(**environment), None)

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `aiot` with arguments that make it end by itself."""
        return self.finish((*AIOT, *arguments), environment)

    def finish(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        limit_s: float = LINE_LIMIT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that ends by itself. Raises `subprocess.TimeoutExpired`."""
        variables = self.environment(**environment)
        preloaded = self._preloaded_for(command, variables)
        if preloaded is None:
            return subprocess.run(
                command,
                cwd=self.home,
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        arguments = _arguments_of_aiot(command) or ()
        return finish_aiot(arguments, self.home, variables, limit_s=limit_s)

    def _preloaded_for(
        self, command: Sequence[str | Path], environment: Mapping[str, str]
    ) -> Preloaded | None:
        """The server that forks this command; None: the command is started directly."""
        if not self._is_preloaded or _arguments_of_aiot(command) is None:
            return None
        return preloaded_aiot() if preloaded_aiot().can_start(environment) else None

    def key_file(self) -> Path:
        """A key file, as `aiot generate-keys` makes it."""
        path = self.home / "keys"
        if not path.exists():
            write_keys(path, generate_keys())
        return path

    def close(self) -> None:
        for program in self._started:
            program.close()


def _arguments_of_aiot(command: Sequence[str | Path]) -> Sequence[str | Path] | None:
    """The arguments of `aiot` in a command; None for another program."""
    if tuple(command[: len(AIOT)]) == AIOT:
        return command[len(AIOT) :]
    return command[1:] if command[0] == "aiot" else None


def finish_aiot(
    arguments: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str],
    *,
    typed: str = "",
    limit_s: float = LINE_LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Fork an `aiot` that ends by itself. `typed`: its standard input.

    Raises `subprocess.TimeoutExpired`.
    """
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(typed.encode())
        stdin.seek(0)
        process = preloaded_aiot().start(
            arguments,
            folder=folder,
            environment=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(
            [*map(str, arguments)], code, stdout.read().decode(), stderr.read().decode()
        )


@functools.cache
def preloaded_aiot() -> Preloaded:
    """The server of this process. Starts it if necessary."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return Preloaded({**kept, **NO_AUTHORITIES})


def fleet_flags(sentence: str) -> list[str]:
    """Flags of `aiot fleet` for the ports that `aiot run` printed at its start."""
    flags = []
    for flag, pattern in (
        ("--broker-port", r"http://[^ /]*:(\d+)/"),
        ("--coap-port", r"CoAP: UDP port (\d+)"),
        ("--ws-port", r"WebSocket: TCP port (\d+)"),
        ("--mqtt-port", r"MQTT: TCP port (\d+)"),
        ("--mqttsn-port", r"MQTT-SN: UDP port (\d+)"),
    ):
        found = re.search(pattern, sentence)
        if found is not None:
            flags += [flag, found[1]]
    return flags


def free_port(kind: socket.SocketKind, host: str = "127.0.0.1") -> int:
    """A port that was free just now, and that no other test on this machine gets.

    It is below the range that Linux gives to outgoing connections, so that none takes it before
    the program under test opens it.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        # No other process can bind this name until this one ends.
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0pyaiot-test-port-{port}")
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((host, port))
        except OSError:
            mark.close()
            continue
        mark.detach()
        return port


def _processes() -> Iterator[tuple[int, int, int]]:
    """Process, parent and session of all running processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name in parentheses may hold anything. Then: state, parent, group, session.
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                if after_name[0] != "Z":
                    yield int(entry.name), int(after_name[1]), int(after_name[3])
