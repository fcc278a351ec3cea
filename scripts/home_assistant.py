#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Home Assistant, in an environment of its own, for the tests that talk to the real one.

Usage: scripts/home_assistant.py          install what the lock file names, once
       scripts/home_assistant.py --lock   write the lock file again

It needs another Python than ours, because every version of Home Assistant runs on one or two
versions of Python only. The environment goes into a folder of the cache whose name is that of the
lock file; the path of its Python is printed. It takes 360 MB. Exit code 2: it cannot be installed;
3: there is no Python for it here.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "tests" / "interop" / "homeassistant"
LOCK: Final = FOLDER / "requirements.txt"
PYTHON: Final = (3, 13)
"""What the version of Home Assistant in the lock file runs on."""
EXIT_MISSING: Final = 2
EXIT_NO_PYTHON: Final = 3
_VERSION: Final = "import sys; print(*sys.version_info[:2])"


class Missing(Exception):
    """It cannot be installed."""


class NoPython(Exception):
    """There is no Python for it here."""


def environment() -> Path | None:
    """The Python of Home Assistant, if it was installed."""
    python = _place() / "bin" / "python"
    return python if python.exists() else None


def install() -> Path:
    """The Python of Home Assistant, installed if it is not. Raises `Missing`, `NoPython`."""
    python = environment()
    if python is not None:
        return python
    base, place = _base_python(), _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all, also when two do it at once. An environment cannot be moved.
    new = Path(tempfile.mkdtemp(dir=place.parent, prefix=f"{place.name}-"))
    try:
        _run([str(base), "-m", "venv", "--without-pip", str(new)])
        _run(
            [
                *(sys.executable, "-m", "pip", f"--python={new / 'bin' / 'python'}", "install"),
                *("-qqq", "--disable-pip-version-check", "--no-deps", "--no-compile"),
                *("--only-binary=:all:", "--require-hashes", "-r", str(LOCK)),
            ]
        )
        link = new.with_name(f"{new.name}-link")
        link.symlink_to(new.name)
        link.replace(place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return place / "bin" / "python"


def _place() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return cache / "pyaiot" / f"homeassistant-{digest[:12]}"


def _base_python() -> Path:
    for candidate in _candidates():
        found = subprocess.run(
            [candidate, "-c", _VERSION], capture_output=True, text=True, check=False
        )
        if found.returncode == 0 and found.stdout.split() == [str(part) for part in PYTHON]:
            return Path(candidate)
    raise NoPython("Home Assistant needs Python {}.{}, which is not here.".format(*PYTHON))


def _candidates() -> Iterator[str]:
    yield sys.executable
    name = "python{}.{}".format(*PYTHON)
    if found := shutil.which(name):
        yield found
    # The ones of pyenv that its own commands hide while another version is selected.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/*/bin/{name}"), reverse=True))


def _run(command: list[str]) -> None:
    result = subprocess.run(command, stdout=sys.stderr, check=False)
    if result.returncode != 0:
        raise Missing("Home Assistant cannot be installed: see above.")


def lock() -> None:
    """Write the lock file: the versions of `requirements.in` with their hashes."""
    uv = Path(sys.executable).with_name("uv")
    _run(
        [
            *(str(uv), "pip", "compile", "--quiet", "--no-deps", "--generate-hashes"),
            *("--only-binary=:all:", "--python-version={}.{}".format(*PYTHON), "--no-header"),
            *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
            *("--output-file", str(LOCK), str(LOCK.with_suffix(".in"))),
        ]
    )
    text = LOCK.read_text("utf-8")
    LOCK.write_text(
        "# SPDX-License-Identifier: BSD-3-Clause\n"
        "# Written by scripts/home_assistant.py --lock.\n" + text,
        "utf-8",
    )


def main(arguments: list[str]) -> None:
    if arguments == ["--lock"]:
        lock()
    else:
        print(install())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Missing, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_MISSING)
    except NoPython as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_NO_PYTHON)
