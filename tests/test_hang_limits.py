# SPDX-License-Identifier: BSD-3-Clause
"""A test that hangs is ended, even if its fixtures hang."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inner_pytest import NO_PLUGINS, ROOT


@pytest.mark.programs
def test_a_hang_ends_the_test_or_else_its_process(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist"),
            *("-n", "1", "-o", "hang_limit_s=0.5", "-o", "hang_cleanup_limit_s=0.5"),
            *(f"--basetemp={tmp_path / 'inner'}", "tests/hanging.py"),
        ],
        cwd=ROOT,
        env={**os.environ, **NO_PLUGINS},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    # One of the tests counts twice: it failed, and then its process crashed.
    assert "3 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "crashed while running 'tests/hanging.py::test_that_hangs_and_whose" in ended.stdout
    assert "Failed: the test hangs: it was ended after 0.5 s" in ended.stdout
    # The stacks of the test and of its fixture.
    assert "in test_that_hangs_and_whose_fixture_hangs" in ended.stderr
    assert "in never_ends" in ended.stderr
