# SPDX-License-Identifier: BSD-3-Clause
"""`aiot` as a fork of a process that has imported it, for the tests that start it often.

Imports are most of the CPU time of a start. The server below imports everything once for each
process of pytest, and forks for each start. A forked `aiot` is a process like any other, with its
own session, environment, working folder, output, signals and exit code; only the command line that
`/proc` shows is that of the server. `Programs(…, preloaded=False)` starts `aiot` as a user does:
for tests of the start, of imports and of command lines.
"""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import walk_packages
from typing import IO, Any, Final, NoReturn

import pyaiot

_REQUEST_BYTES_MAX: Final = 1 << 17
_READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "SSL_", "TZ")
"""Variables that Python or a module reads before a fork, such as on import."""
_KEPT_NAME: Final = "PYTHONUNBUFFERED"
"""The only one of them that still has an effect after a fork."""
_NOT_IMPORTED: Final = (".__main__", ".die_with_parent", ".arrow")
"""Modules that are not preloaded: programs, and modules that few commands need."""


# -- in the process of the tests ------------------------------------------------------------------


class ForkedProcess:
    """A forked `aiot`, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, status: IO[bytes], stdout: IO[bytes] | None) -> None:
        """`status`: a line with the process id, and one with the exit code when it has ended."""
        self.pid = int(status.readline())
        self.stdout = stdout
        self.returncode: int | None = None
        self._status = status

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("aiot", timeout or 0.0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Preloaded:
    """The server, seen from the tests. It ends with the process of the tests."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment`: the variables that modules read on import."""
        self._read_at_start = _read_at_start(environment)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl+C in a terminal ends the tests only
            )

    def can_start(self, environment: Mapping[str, str]) -> bool:
        """Whether these variables have the same effect in a fork as in a new process."""
        return _read_at_start(environment) == self._read_at_start

    def start(
        self,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str],
        umask: int | None = None,
        stderr: IO[bytes],
        stdout: IO[bytes] | None = None,
        stdin: IO[bytes] | None = None,
    ) -> ForkedProcess:
        """Start `aiot` in its own session. `stdout` None: a pipe; `stdin` None: empty."""
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "environment": dict(environment),
            "umask": umask,
        }
        reader = None
        with contextlib.ExitStack() as theirs:
            status, their_status = os.pipe()
            theirs.callback(os.close, their_status)
            if stdout is None:
                reader, their_stdout = os.pipe()
                theirs.callback(os.close, their_stdout)
            else:
                their_stdout = stdout.fileno()
            socket.send_fds(
                self._requests,
                [json.dumps(request).encode()],
                [
                    their_status,
                    their_stdout,
                    stderr.fileno(),
                    *([] if stdin is None else [stdin.fileno()]),
                ],
            )
        return ForkedProcess(
            os.fdopen(status, "rb", buffering=0),
            None if reader is None else os.fdopen(reader, "rb", buffering=0),
        )


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text
        for name, text in environment.items()
        if name.startswith(_READ_AT_START) and name != _KEPT_NAME
    }


# -- in the server --------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Fork for each request, until the process of the tests has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for the processes that wait
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES_MAX, 4)
        if not text:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            _wait_for_fork(json.loads(text), *descriptors)
            return  # in the forked `aiot`
        for descriptor in descriptors:
            os.close(descriptor)


def _wait_for_fork(request: dict[str, Any], status: int, *files: int) -> None:
    """Fork again, and report the exit code of the fork. Returns in the fork only."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        _, code = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):
            os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
        os._exit(0)
    os.setsid()
    os.write(status, f"{os.getpid()}\n".encode())
    os.close(status)
    for file, number in zip(files, (1, 2, 0), strict=False):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    if request["umask"] is not None:
        os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = ["aiot", *request["arguments"]]
    is_unbuffered = _KEPT_NAME in os.environ
    sys.stdout = io.TextIOWrapper(
        io.FileIO(1, "w", closefd=False)
        if is_unbuffered
        else io.BufferedWriter(io.FileIO(1, "w", closefd=False)),
        write_through=is_unbuffered,
    )


def _preload() -> None:
    """Import the modules that commands import, of Pyaiot and of others."""
    for module in walk_packages(pyaiot.__path__, "pyaiot."):
        if not module.name.endswith(_NOT_IMPORTED):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # the collector would copy the pages of all that was imported


def _run() -> int:
    """Run `aiot` and return its exit code. Other exceptions end the process as usual."""
    try:
        runpy.run_module("pyaiot", run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """Exit as Python does, but without freeing its modules.

    Freeing them takes longer than most commands, because each of their pages is copied first.
    Objects made since the fork are collected, so that their warnings are shown.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    try:
        sys.stdout.flush()
    except OSError as error:
        print(f"Exception ignored: {error!r}", file=sys.stderr)
        code = 120
    os._exit(code)


if __name__ == "__main__":
    _preload()
    serve(socket.socket(fileno=int(sys.argv[1])))
    _end(_run())
