#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Home Assistant, in its own environment, for the tests that talk to the real one.

Usage: scripts/home_assistant.py          install what the lock file names, once
       scripts/home_assistant.py --lock   write the lock file again

It needs another Python than ours, because every version of Home Assistant runs on one or two
versions of Python only. The environment goes into a folder of the cache whose name is that of the
lock file; the path of its Python is printed. It takes 360 MB. Exit code 2: it cannot be installed;
3: there is no Python for it here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts.packaging.side_environment import Missing, SideEnvironment

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "tests" / "interop" / "homeassistant"
LOCK: Final = FOLDER / "requirements.txt"
_ENVIRONMENT: Final = SideEnvironment("homeassistant", "Home Assistant", LOCK)
PYTHON: Final = (3, 13)
"""The version of Python that the locked version of Home Assistant requires."""
EXIT_MISSING: Final = 2
EXIT_NO_PYTHON: Final = 3
_VERSION: Final = "import sys; print(*sys.version_info[:2])"


class NoPython(Exception):
    """No suitable Python is installed."""


def environment() -> Path | None:
    """The Python of Home Assistant; None if it is not installed."""
    return _ENVIRONMENT.program("python")


def install() -> Path:
    """The Python of Home Assistant. Installs it if necessary. Raises `Missing`, `NoPython`."""
    python = environment()
    return python or _ENVIRONMENT.install(_base_python()) / "bin" / "python"


def _base_python() -> Path:
    for candidate in _candidates():
        found = subprocess.run(
            [candidate, "-c", _VERSION], capture_output=True, text=True, check=False
        )
        if found.returncode == 0 and found.stdout.split() == [str(part) for part in PYTHON]:
            return Path(candidate)
    raise NoPython("Home Assistant needs Python {}.{}, which is not installed.".format(*PYTHON))


def _candidates() -> Iterator[str]:
    yield sys.executable
    name = "python{}.{}".format(*PYTHON)
    if found := shutil.which(name):
        yield found
    # Versions of pyenv, which its own commands hide while another version is selected.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/*/bin/{name}"), reverse=True))


def lock() -> None:
    """Write the lock file: the versions of `requirements.in` with their hashes."""
    uv = Path(sys.executable).with_name("uv")
    _ENVIRONMENT.run(
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
