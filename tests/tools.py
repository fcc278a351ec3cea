# SPDX-License-Identifier: BSD-3-Clause
"""Third-party programs that `scripts/tools.py` installs."""

import subprocess
from pathlib import Path

import pytest

from scripts.tools import TOOLS

LIMIT_S = 60.0


def tool(name: str) -> Path:
    """The path of the program. Skips the test if it is not installed."""
    program = TOOLS.program(name)
    if program is None:
        pytest.skip(f"{name} is not installed: scripts/tools.py installs it")
    return program


def finish(name: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run one of the programs to its end. Skips the test if it is not installed."""
    return subprocess.run(
        [tool(name), *words], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
