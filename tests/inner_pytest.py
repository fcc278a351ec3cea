# SPDX-License-Identifier: BSD-3-Clause
"""Runs tests that need a separate namespace in a separate pytest inside that namespace."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

NO_PLUGINS: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""For a pytest that runs a few tests: plugins take longer to import than they to run."""
ROOT = Path(__file__).resolve().parents[1]


def assert_passes(
    namespace: tuple[str, ...], test: str, folder: Path, *, timeout_s: float = 90.0
) -> None:
    """Run one test in `namespace`: the command that makes it, such as `("unshare", "--net")`.

    `test`: a file in `tests`, or a test in it, as in `tests/folder/file.py::test_name`.

    The test has its files in `folder`, a `tmp_path` of the caller. A pytest without a separate
    folder deletes old folders of other runs when it ends, and fails if another one does the same.
    """
    result = subprocess.run(
        [
            *namespace,
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={folder / 'inner'}", test),
        ],
        cwd=ROOT,
        env={**os.environ, **NO_PLUGINS},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout
