# SPDX-License-Identifier: BSD-3-Clause
"""The script that builds the dashboard: when it builds, and its messages where it cannot."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import javascript, page
from tests.time_limits import Stopwatch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The parts of a checkout that the script reads."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    (folder / "dashboard" / "src").mkdir(parents=True)
    (folder / "src" / "pyaiot" / "web").mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "dashboard" / name, folder / "dashboard" / name)
    (folder / "dashboard" / "src" / "main.tsx").write_text("one")
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    return folder


def put_dashboard(checkout: Path) -> None:
    """Pretend that the dashboard was built from the current sources."""
    built = page.built_folder(checkout)
    built.mkdir()
    (built / "index.html").write_text("built")
    (built / page.RECORD).write_text(page.fingerprint(checkout))


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script without Node.js and without a package index."""
    return subprocess.run(
        [sys.executable, "-I", str(checkout / "scripts" / "page.py"), *arguments],
        env={"PATH": str(checkout), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def test_dashboard_is_built_until_its_sources_change(checkout: Path) -> None:
    assert not page.is_built(checkout)
    put_dashboard(checkout)
    assert page.is_built(checkout)
    (checkout / "dashboard" / "src" / "main.tsx").write_text("two")
    assert not page.is_built(checkout)


def test_tests_and_packages_are_not_sources_of_the_dashboard(checkout: Path) -> None:
    before = page.fingerprint(checkout)
    for folder in ("node_modules", "tests", "dist"):
        (checkout / "dashboard" / folder).mkdir()
        (checkout / "dashboard" / folder / "x.ts").write_text("x")
    assert page.fingerprint(checkout) == before


def test_built_dashboard_needs_no_node(checkout: Path) -> None:
    put_dashboard(checkout)
    watch = Stopwatch()
    result = run(checkout, "--if-possible")
    assert (result.returncode, result.stderr) == (0, "")
    assert watch.elapsed_s < 5


@pytest.mark.skipif(javascript._in_wheel() is not None, reason="Node.js is in this Python")
def test_without_node_and_network_there_is_one_message_once(checkout: Path) -> None:
    result = run(checkout, "--if-possible")
    assert result.returncode == 0
    assert result.stderr.splitlines()[-1].startswith("The dashboard cannot be built: ")
    assert "Traceback" not in result.stderr
    again = run(checkout, "--if-possible")
    assert (again.returncode, again.stderr) == (0, "")
    (checkout / "dashboard" / "src" / "main.tsx").write_text("other sources are tried again")
    assert "The dashboard cannot be built: " in run(checkout, "--if-possible").stderr


@pytest.mark.skipif(javascript._in_wheel() is not None, reason="Node.js is in this Python")
def test_building_by_hand_fails_with_a_sentence(checkout: Path) -> None:
    result = run(checkout)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("The dashboard cannot be built: Node.js")


def test_unchanged_sources_are_checked_once(checkout: Path) -> None:
    # A Node.js that only notes what it was to run, and whose checks fail while there is a file.
    log, fails = checkout / "log", checkout / "fails"
    for name in ("node", "npm"):
        (checkout / name).write_text(
            "#!/bin/sh\n"
            'if [ "$1" = --version ]; then echo v22.0.0; exit; fi\n'
            f'echo "$1" >> "{log}"\n[ ! -e "{fails}" ]\n'
        )
        (checkout / name).chmod(0o755)
    modules = checkout / "dashboard" / "node_modules"
    modules.mkdir()
    lock = (checkout / "dashboard" / "package-lock.json").read_bytes()
    (modules / page.RECORD).write_text(f"{hashlib.sha256(lock).hexdigest()} dev\n")

    def checks() -> set[str]:
        """The names of the programs that ran since."""
        names = (
            {Path(line).stem for line in log.read_text().splitlines()} if log.exists() else set()
        )
        log.unlink(missing_ok=True)
        return names

    fails.touch()
    assert run(checkout, "--check").returncode == 1
    assert checks() == {"tsc", "eslint"}
    fails.unlink()
    assert run(checkout, "--check").returncode == 0
    assert checks() == {"tsc", "eslint"}
    again = run(checkout, "--check")
    assert (again.returncode, checks()) == (0, set())
    assert "unchanged" in again.stderr
    (checkout / "dashboard" / "tests").mkdir()
    (checkout / "dashboard" / "tests" / "a.test.ts").write_text("a test is checked too")
    assert run(checkout, "--check").returncode == 0
    assert checks() == {"tsc", "eslint"}


def test_invalid_usage_prints_the_usage(checkout: Path) -> None:
    result = run(checkout, "--nonsense")
    assert result.returncode == 2
    assert "Usage: page.py" in result.stderr
