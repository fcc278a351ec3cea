# SPDX-License-Identifier: BSD-3-Clause
"""Tab, pressed in real shells: the completion that the Debian package installs."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.packaging import manual

pytestmark = pytest.mark.programs

LIMIT_S = 40.0
READY = "it-is-ready"
ANSWERS = {b"\x1b[c": b"\x1b[?62;c", b"\x1b[0c": b"\x1b[?62;c"}
"""What fish asks its terminal for, and waits for."""


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, wanted: str) -> str:
        """What it shows until these words."""
        shown = b""
        deadline = time.monotonic() + LIMIT_S
        while wanted.encode() not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([self._terminal], [], [], 0.2)[0]:
                piece = os.read(self._terminal, 65536)
                for question, answer in ANSWERS.items():
                    if question in piece:
                        os.write(self._terminal, answer)
                shown += piece
        return shown.decode(errors="replace")


@contextmanager
def opened(command: list[str], home: Path) -> Iterator[Shell]:
    ours, theirs = pty.openpty()
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],  # fish wants to control its terminal
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env={"HOME": str(home), "PATH": path, "TERM": "xterm", "LANG": "C.UTF-8"},
    )
    os.close(theirs)
    try:
        yield Shell(ours)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)


@pytest.mark.parametrize(
    ("command", "prepare"),
    [
        (["bash", "--norc", "--noprofile", "-i"], ""),
        (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u; "),
        (["fish", "--no-config", "-i"], ""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_tab_completes_a_command_and_lists_flags(
    tmp_path: Path, command: list[str], prepare: str
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    script = tmp_path / "completion"
    script.write_text(manual.completions()[manual.COMPLETION_FILES[command[0]]], "utf-8")
    with opened(command, tmp_path) as shell:
        # With quotes in it, the echo of the line differs from its output.
        shell.types(f'{prepare}source {script}; echo "it-is"-ready\n')
        shell.until(READY)
        shell.types("aiot upg\t")
        shell.until("rade-check")
