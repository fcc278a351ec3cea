# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of tests of the registry."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("not run: a full disk needs a file system that may be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
