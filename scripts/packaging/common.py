# SPDX-License-Identifier: BSD-3-Clause
"""Common parts of all builders: the checkout, its version, its date, and running programs."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyaiot

ROOT: Final = Path(__file__).resolve().parents[2]
VERSION: Final = pyaiot.__version__
EPOCH: Final = "SOURCE_DATE_EPOCH"


class CannotRelease(Exception):
    """The user must do something before the release. The text is one sentence that states what."""


def report(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path], folder: Path = ROOT, variables: Mapping[str, str] | None = None
) -> str:
    """The output of a program. Raises `CannotRelease` if it fails."""
    environment = {**os.environ, **(variables or {})}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        report((result.stdout + result.stderr).rstrip()[-4000:])
        raise CannotRelease(f"{Path(command[0]).name} failed: see above.")
    return result.stdout


def source_date() -> int:
    """The Unix time of the sources: of the last commit, or `SOURCE_DATE_EPOCH`.

    All files in what is built have this time, so that two builds have the same bytes.
    """
    if given := os.environ.get(EPOCH):
        return int(given)
    return int(run(["git", "log", "-1", "--format=%ct"]))
