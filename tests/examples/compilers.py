# SPDX-License-Identifier: BSD-3-Clause
"""Compiles programs for boards on this machine, with stub headers of the tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

WARNINGS = ("-Wall", "-Wextra", "-Werror")
COMPILE_LIMIT_S = 60


def compiled(compiler: str, folder: Path, *arguments: str | Path) -> Path:
    """Compile a program with `arguments`. Skips the test if the compiler is not installed."""
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"{compiler} is not installed (apt install {compiler})")
    program = folder / "program"
    result = subprocess.run(
        [found, *WARNINGS, *arguments, "-o", program],
        capture_output=True,
        text=True,
        timeout=COMPILE_LIMIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return program


def output_of(program: Path, *lines: str) -> list[str]:
    """The lines that the program prints for these lines of input."""
    result = subprocess.run(
        [program],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()
