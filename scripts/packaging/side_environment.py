# SPDX-License-Identifier: BSD-3-Clause
"""Environments beside that of the checkout, for other programs that tests use.

Each is in a folder of the cache whose name is that of its lock file, and is made once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


class Missing(Exception):
    """It cannot be installed."""


@dataclass(frozen=True, slots=True)
class SideEnvironment:
    """`title`: for messages. `lock`: a requirements file with hashes; only wheels are installed."""

    name: str
    title: str
    lock: Path

    @property
    def place(self) -> Path:
        """Its folder, whether it exists or not."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        digest = hashlib.sha256(self.lock.read_bytes()).hexdigest()
        return cache / "pyaiot" / f"{self.name}-{digest[:12]}"

    def program(self, name: str) -> Path | None:
        """The path of one of its programs; None if it is not installed."""
        path = self.place / "bin" / name
        return path if path.exists() else None

    def install(self, base: Path) -> Path:
        """Install it, if necessary, with the Python `base`. Returns the folder. Raises
        `Missing`."""
        place = self.place
        if place.exists():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        # Complete or not at all, also if two processes install at once. An environment cannot be
        # moved.
        new = Path(tempfile.mkdtemp(dir=place.parent, prefix=f"{place.name}-"))
        try:
            self.run([str(base), "-m", "venv", "--without-pip", str(new)])
            self.run(
                [
                    *(sys.executable, "-m", "pip", f"--python={new / 'bin' / 'python'}"),
                    *("install", "-qqq", "--disable-pip-version-check", "--no-deps"),
                    *("--no-compile", "--only-binary=:all:", "--require-hashes"),
                    *("-r", str(self.lock)),
                ]
            )
            link = new.with_name(f"{new.name}-link")
            link.symlink_to(new.name)
            link.replace(place)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return place

    def run(self, command: list[str]) -> None:
        """Run a program; its output goes to standard error. Raises `Missing` if it fails."""
        result = subprocess.run(command, stdout=sys.stderr, check=False)
        if result.returncode != 0:
            raise Missing(f"{self.title} cannot be installed: see above.")
