# SPDX-License-Identifier: BSD-3-Clause
"""Processes by name, which can be killed, stopped and started again."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

END_LIMIT_S: Final = 60.0
"""How long `wait` waits for the end of a process."""


class NamedProcesses:
    """Processes in one folder. All are killed at the end of the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __exit__(self, *_error: object) -> None:
        for process in reversed(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def run(self, name: str, words: Sequence[str], log: str, more: Mapping[str, str]) -> None:
        """Start a process, with `more` environment variables. It appends its output to `log`."""
        with (self.folder / log).open("ab") as file:
            self._running[name] = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.variables(), **more},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def aiot(self, *arguments: str) -> str:
        """Run a command until it ends; return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "pyaiot", *arguments],
            cwd=self.folder,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def wait(self, name: str) -> None:
        self._running[name].wait(END_LIMIT_S)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def variables(self) -> dict[str, str]:
        """The environment of all processes."""
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("AIOT_", "XDG_"))
        }
        return {**inherited, "HOME": str(self.folder)}
