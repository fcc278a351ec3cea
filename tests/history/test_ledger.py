# SPDX-License-Identifier: BSD-3-Clause
"""Committed rows survive `kill -9` and a power cut."""

import fcntl
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Final

import pytest

from pyaiot.history.sqlite.writer import SqliteWriter
from tests.history.files import FOR_EVER
from tests.history.recording import RESOURCES

PROGRAM: Final = Path(__file__).with_name("recording.py")
KILLS: Final = 20
POWER_CUTS: Final = 4
FIRST_COMMIT_LIMIT_S: Final = 15.0
EXT4_IOC_SHUTDOWN: Final = 0x8004587D
NOLOGFLUSH: Final = 2
"""Nothing more is written to the device, not even the journal (linux/fs/ext4/ext4.h)."""


class Recording:
    """A recording process, and the number that it reports as committed."""

    def __init__(self, path: Path, first: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, str(path), str(first)],
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.committed = first
        self._output = b""

    def until_committed(self) -> None:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], FIRST_COMMIT_LIMIT_S)
        assert ready, "nothing was committed"
        self._output = self._process.stdout.read(1)
        assert self._output, "it ended"

    def read_reports(self) -> None:
        """Read what it has reported until now."""
        assert self._process.stdout is not None
        while select.select([self._process.stdout], [], [], 0)[0]:
            self._output += os.read(self._process.stdout.fileno(), 65536)
        self._count()

    def kill(self, *, counts: bool = True) -> None:
        """kill -9. `counts`: what it reported until then counts."""
        self._process.send_signal(signal.SIGKILL)
        assert self._process.stdout is not None
        self._output += self._process.stdout.read()
        self._process.wait()
        self._process.stdout.close()
        if counts:
            self._count()

    def _count(self) -> None:
        if b"\n" in self._output:
            # The last line may be incomplete.
            complete = self._output[: self._output.rindex(b"\n")]
            self.committed = int(complete.rpartition(b"\n")[2])


def numbers(path: Path) -> list[int]:
    """The numbers that a later process finds, all resources together."""
    writer = SqliteWriter(path, FOR_EVER, run="after")
    assert writer._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = [int(value) for (value,) in writer._db.execute("SELECT value FROM reading")]
    writer.close()
    return sorted(found)


def test_kill_9_under_load_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    chance = random.Random(9)
    path = tmp_path / "history.db"
    first = 0
    kept = 0
    for _ in range(KILLS):
        recording = Recording(path, first)
        recording.until_committed()
        time.sleep(chance.uniform(0.0, 0.12))
        recording.kill()
        found = numbers(path)
        # Consecutive from the first one: none is missing, none is wrong.
        assert found == list(range(len(found)))
        assert recording.committed <= len(found)
        assert recording.committed > first
        first = kept = len(found)
    assert kept > KILLS * RESOURCES


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An image with a file system, and its mount point."""
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if which(tool) is None]
    if missing or os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("not run: a power cut needs root, loop devices and mkfs.ext4")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], check=False).returncode:
        pytest.skip("not run: a power cut needs loop devices that can be mounted")
    try:
        yield image, folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_power_cut_loses_nothing_that_was_committed(disk: tuple[Path, Path]) -> None:
    image, folder = disk
    chance = random.Random(50)
    path = folder / "history.db"
    first = 0
    for _ in range(POWER_CUTS):
        recording = Recording(path, first)
        recording.until_committed()
        time.sleep(chance.uniform(0.05, 0.25))
        handle = os.open(folder, os.O_RDONLY)
        # A commit during the shutdown may be reported and lost: the ioctl drops what an fsync is
        # about to write, and not every such fsync fails.
        recording.read_reports()
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(handle)
        recording.kill(counts=False)
        subprocess.run(["umount", folder], check=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
        found = numbers(path)
        assert found == list(range(len(found)))
        assert first < recording.committed <= len(found)
        first = len(found)
