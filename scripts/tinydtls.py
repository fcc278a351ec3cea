#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints the folder of tinydtls, the DTLS of RIOT, as a Python package for tests.

It is built once in the cache, from the source of the package DTLSSocket: there are no wheels. It
needs a C compiler and autoconf. Standard library only.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = (
    Path(__file__).parents[1] / "tests" / "interop" / "tinydtls" / "requirements.txt"
)
LIMIT_S: Final = 240.0


class Missing(Exception):
    """It is not built, and cannot be built."""


def built() -> Path | None:
    """The folder; None if it is not built."""
    place = _place()
    return place if place.is_dir() else None


def build() -> Path:
    """The folder. Builds it if necessary. Raises `Missing`."""
    place = _place()
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not at all, also if two processes build at once.
    with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
        new = Path(temporary) / "new"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-qqq"]
        command: list[str | Path] = [*pip, "--require-hashes", "--target", new, "-r", REQUIREMENTS]
        try:
            result = subprocess.run(command, stdout=sys.stderr, check=False, timeout=LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise Missing(f"tinydtls was not built within {LIMIT_S:.0f} s.") from error
        if result.returncode != 0:
            raise Missing("tinydtls cannot be built: apt install autoconf automake gcc.")
        try:
            new.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    return place


def _place() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    return cache / "pyaiot" / f"tinydtls-{digest[:12]}"


if __name__ == "__main__":
    try:
        print(build())
    except Missing as missing:
        sys.exit(str(missing))
