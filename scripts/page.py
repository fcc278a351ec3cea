#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Build the dashboard from `dashboard/` into the package, if its sources have changed.

Usage: page.py                  build it
       page.py --if-possible    the same; a failure prints one line, and is not an error
       page.py --check          types and style of the sources
       page.py --test           tests of the sources

A record beside the built files identifies the sources. Standard library only: this runs before
anything is installed, and inside the build of the wheel.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from scripts import javascript  # noqa: E402 - found by the line above

RECORD = ".made-from"
RETRY_S = 86_400
"""Pause after a failed build, before the same sources are built again."""
VITE = "node_modules/vite/bin/vite.js"
NOT_SOURCES = {"node_modules", "dist", "tests"}


class CannotBuild(Exception):
    """The dashboard cannot be built. The text is one sentence with the reason."""


def report(text: str) -> None:
    """Print progress to standard error; standard output belongs to the command."""
    print(text, file=sys.stderr, flush=True)


def fingerprint(root: Path = ROOT, *, tests: bool = False) -> str:
    """A hash of all sources of the dashboard, or of these and its tests."""
    digest = hashlib.sha256()
    for path in sorted(_sources(root / "dashboard", {"tests"} if tests else set())):
        digest.update(os.fsencode(path.relative_to(root)) + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources(folder: Path, also: set[str]) -> list[Path]:
    found = []
    for item in folder.iterdir():
        if item.name in NOT_SOURCES - also:
            continue
        if item.is_dir():
            found += _sources(item, also)
        else:
            found.append(item)
    return found


def built_folder(root: Path = ROOT) -> Path:
    """The folder of the built files, in the package."""
    return root / "src" / "pyaiot" / "web" / "built"


def is_built(root: Path = ROOT) -> bool:
    """Whether the built files exist and match the current sources."""
    folder = built_folder(root)
    if not (folder / "index.html").is_file():
        return False
    if not (root / "dashboard").is_dir():
        return True  # a source distribution without its sources
    try:
        return (folder / RECORD).read_text() == fingerprint(root)
    except OSError:
        return False


def build(root: Path = ROOT, *, install: bool = True) -> None:
    """Build the dashboard. Raises `CannotBuild`. The previous build is replaced at the end.

    `install`: install Node.js from the package index if it is missing.
    """
    sources = root / "dashboard"
    made_from = fingerprint(root)
    npm = _npm(install=install)
    started = time.monotonic()
    report("Building the dashboard ...")
    if not _modules_are_there(sources):
        # Without the packages that only tests need.
        _run([*npm, *javascript.NPM_CI, "--omit=dev"], sources)
        _note_modules(sources)
    new = built_folder(root).with_name("built.new")
    shutil.rmtree(new, ignore_errors=True)
    _run([*_node(), VITE, "build", "--logLevel", "warn"], sources, PYAIOT_PAGE_DIR=new)
    (new / RECORD).write_text(made_from)
    shutil.rmtree(built_folder(root), ignore_errors=True)
    new.rename(built_folder(root))
    report(f"The dashboard was built in {time.monotonic() - started:.0f} s.")


def _npm(*, install: bool = True) -> list[str]:
    found = javascript.command("npm")
    if found is not None:
        return found
    if not install:
        raise CannotBuild("Node.js is not installed")
    report("Installing Node.js from the package index, for the dashboard ...")
    try:
        return javascript.wanted("npm")
    except javascript.Missing as error:
        raise CannotBuild(str(error).rstrip(".")) from error


def _node() -> list[str]:
    found = javascript.command("node")
    if found is None:
        raise CannotBuild("Node.js is not installed")
    return found


def _modules_are_there(sources: Path) -> bool:
    record = sources / "node_modules" / RECORD
    lock = hashlib.sha256((sources / "package-lock.json").read_bytes()).hexdigest()
    return record.is_file() and lock in record.read_text()


def _note_modules(sources: Path, kind: str = "") -> None:
    lock = hashlib.sha256((sources / "package-lock.json").read_bytes()).hexdigest()
    (sources / "node_modules" / RECORD).write_text(f"{lock} {kind}\n")


def install_for_tests(root: Path = ROOT) -> None:
    """Install the packages for checks and tests of the sources. Raises `CannotBuild`."""
    npm = _npm()
    sources = root / "dashboard"
    record = sources / "node_modules" / RECORD
    if not _modules_are_there(sources) or "dev" not in record.read_text():
        report("Installing the locked packages of dashboard/package-lock.json ...")
        _run([*npm, *javascript.NPM_CI], sources)
        _note_modules(sources, "dev")


def _run(command: list[str], folder: Path, **settings: object) -> None:
    environment = javascript.environment(command)
    environment |= {name: str(value) for name, value in settings.items()}
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode != 0:
        report(result.stdout.decode(errors="replace").rstrip()[-4000:])
        raise CannotBuild(f"{' '.join(map(os.path.basename, command[:3]))} failed: see above")


def build_if_possible(root: Path = ROOT) -> None:
    """Build the dashboard if its sources have changed. A failure prints one line."""
    if not (root / "dashboard").is_dir() or is_built(root):
        return
    failed = built_folder(root).with_name("built.failed")
    made_from = fingerprint(root)
    if failed.is_file() and failed.read_text() == made_from:
        if time.time() - failed.stat().st_mtime < RETRY_S:
            return  # already reported
        failed.unlink()
    try:
        build(root)
        failed.unlink(missing_ok=True)
    except (CannotBuild, OSError) as error:
        report(f"The dashboard cannot be built: {error}.")
        try:
            failed.write_text(made_from)
        except OSError as problem:
            report(f"The failure cannot be recorded: {problem}.")


CHECKS = {
    "--check": (
        ["node_modules/typescript/bin/tsc", "--noEmit"],
        ["node_modules/eslint/bin/eslint.js", "--max-warnings", "0", "."],
    ),
    "--test": (["node_modules/vitest/vitest.mjs", "run"],),
}
CHECKED = "node_modules/.cache/pyaiot-checked"


def check(which: str, root: Path = ROOT) -> int:
    """Run the checks of `which` in parallel. Returns the exit code of one that fails. Types and
    style of unchanged sources are not checked again. Raises `CannotBuild`."""
    install_for_tests(root)
    node = _node()
    record = root / "dashboard" / CHECKED
    checked = f"{javascript.version(node)} {fingerprint(root, tests=True)}"
    if which == "--check" and record.is_file() and record.read_text() == checked:
        report("The dashboard is unchanged since its types and style were checked.")
        return 0
    running = [
        subprocess.Popen(
            [*node, *command], cwd=root / "dashboard", env=javascript.environment(node)
        )
        for command in CHECKS[which]
    ]
    code = next((code for process in running if (code := process.wait())), 0)
    if which == "--check" and code == 0:
        record.parent.mkdir(exist_ok=True)
        record.write_text(checked)
    return code


def main(arguments: list[str]) -> int:
    """Run the script as described under usage."""
    if arguments == ["--if-possible"]:
        build_if_possible()
        return 0
    if len(arguments) > 1 or not set(arguments) <= CHECKS.keys():
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if arguments:
            return check(arguments[0])
        build()
    except CannotBuild as error:
        report(f"The dashboard cannot be {'checked' if arguments else 'built'}: {error}.")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
