#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make the locked environment of this checkout if it is not ready, and run a command in it.

Usage: environment.py run|dev COMMAND [ARGUMENT...]

`run` has the packages that Pyaiot needs, `dev` also those of its tests. All packages are installed
from requirements/*.txt, as wheels, and checked against the hashes there; the package itself is the
checkout, in place. A record in the environment states what it was made from, so that a second start
needs no network.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
RECORD = "pyaiot-environment.txt"
KINDS = ("run", "dev")


class OperatorError(Exception):
    """The user must do something. The text is one sentence that states what."""


def progress(text: str) -> None:
    """Report progress on standard error; standard output belongs to the command."""
    print(text, file=sys.stderr, flush=True)


def fingerprint(kind: str) -> str:
    """The line in the record that marks an environment as up to date for `kind`."""
    digest = hashlib.sha256()
    for name in (f"requirements/{kind}.txt", "pyproject.toml", "src/pyaiot/__init__.py"):
        digest.update((ROOT / name).read_bytes())
    # An environment contains its own path and its Python: a moved or copied one is not ready.
    digest.update(os.fsencode(ROOT))
    return f"{kind} {digest.hexdigest()}"


def environment_folder() -> Path:
    """`.venv`; a different folder if the user made `.venv`, or the checkout is not writable."""
    for folder in (ROOT / ".venv", ROOT / ".venv-pyaiot"):
        if is_ours(folder) or (not folder.exists() and os.access(ROOT, os.W_OK)):
            return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "pyaiot" / hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]


def is_ours(folder: Path) -> bool:
    """Whether this script made `folder`, so that it may change or replace it."""
    return (folder / RECORD).is_file() and os.access(folder, os.W_OK)


def is_ready(folder: Path, kind: str) -> bool:
    """Whether `folder` has the packages in the lock file of `kind`, with the requested Python."""
    try:
        record = (folder / RECORD).read_text().splitlines()
    except OSError:
        return False
    if not (folder / "bin" / "python").exists() or fingerprint(kind) not in record:
        return False
    return "PYTHON" not in os.environ or f"python {platform.python_version()}" in record


def make(folder: Path, kind: str) -> None:
    """Install the packages in the lock file of `kind` into `folder`. Raises OperatorError."""
    started = time.monotonic()
    # The packages of `dev` are added to an up-to-date `run`; otherwise a new environment is made.
    if not is_ready(folder, "run"):
        progress(f"Making the environment in {folder} (Python {platform.python_version()}) ...")
        make_empty(folder)
    progress(f"Installing the locked packages of requirements/{kind}.txt ...")
    pip(folder, "--only-binary=:all:", "--require-hashes", f"-r{ROOT}/requirements/{kind}.txt")
    pip(folder, "--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    # The dev lock is a superset of the run lock, with the same versions.
    lines = [f"python {platform.python_version()}"]
    lines += [fingerprint(known) for known in KINDS[: KINDS.index(kind) + 1]]
    (folder / RECORD).write_text("\n".join(lines) + "\n")
    progress(f"The environment is ready after {time.monotonic() - started:.0f} s.")


def make_empty(folder: Path) -> None:
    """Make `folder` a virtual environment that has only pip."""
    if importlib.util.find_spec("ensurepip") is None:
        install_venv()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    # Written first, so that an incomplete environment is recognised and made again.
    (folder / RECORD).touch()
    # Inside a virtual environment, use its base Python: the environment may be the one to replace.
    base = getattr(sys, "_base_executable", None) or sys.executable
    run([base, "-I", "-m", "venv", str(folder)], failure="The virtual environment cannot be made")


def install_venv() -> None:
    """Install the part of Python that makes environments, a separate package on Debian."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    lack = f"{sys.executable} cannot make virtual environments (its module ensurepip is missing)"
    from_debian = Path("/etc/debian_version").exists() and sys.base_prefix == "/usr"
    if not from_debian:
        raise OperatorError(f"{lack}: name another Python with PYTHON=/path/to/python3.")
    if os.geteuid() != 0:
        raise OperatorError(f"{lack}: run `sudo apt install {package}`, then start again.")
    progress(f"Installing {package} with apt-get ...")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        run(["apt-get", "-qq", *arguments], failure=f"{lack}, and {package} cannot be installed")


def pip(folder: Path, *arguments: str) -> None:
    """Run the environment's own pip install. Raises OperatorError if it fails."""
    run(
        [
            str(folder / "bin" / "python"),
            *("-I", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("install", "--no-warn-script-location", *arguments),
        ],
        failure="The locked packages cannot be installed here (`pip install .` goes without lock)",
    )


def run(command: list[str], *, failure: str) -> None:
    """Run `command` until it ends, with its output on standard error. Raises OperatorError if it
    fails."""
    # PIP_USER and similar settings of the user's own Python have no meaning in an environment.
    settings = {k: v for k, v in os.environ.items() if k not in ("PIP_USER", "PIP_TARGET")}
    # The output is shown only if the command fails.
    result = subprocess.run(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if result.returncode != 0:
        progress(result.stdout.decode(errors="replace").rstrip())
        raise OperatorError(f"{failure}: see above.")


def make_page(folder: Path) -> None:
    """Build the dashboard if its sources have changed. A failure prints one line."""
    script = ROOT / "scripts" / "page.py"
    if (ROOT / "dashboard").is_dir() and script.is_file():
        # A separate process: if Node.js is missing, it is installed into the environment's Python.
        subprocess.run(
            [str(folder / "bin" / "python"), "-I", str(script), "--if-possible"], check=False
        )


def become(folder: Path, command: list[str]) -> NoReturn:
    """Replace this process with `command`, as if the environment were activated."""
    # Python ignores SIGPIPE, and an ignored signal would be inherited.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.environ["VIRTUAL_ENV"] = str(folder)
    os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.execvp(command[0], command)  # noqa: S606 - a command of our scripts


def main(arguments: list[str]) -> NoReturn:
    """Run the script as described under usage. Exits with 2 if the user must do something."""
    if len(arguments) < 2 or arguments[0] not in KINDS:
        raise OperatorError("Usage: scripts/setup run|dev COMMAND [ARGUMENT...]")
    kind, *command = arguments
    folder = environment_folder()
    if not is_ready(folder, kind):
        # One at a time. The lock is on a folder of the checkout, so that no file is left behind.
        descriptor = os.open(ROOT / "requirements", os.O_RDONLY)
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder = environment_folder()
        if not is_ready(folder, kind):
            make(folder, kind)
        os.close(descriptor)
    make_page(folder)
    become(folder, command)


if __name__ == "__main__":
    # Terminated: leave through the exception, which also ends the child process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        progress("Interrupted; the next start creates the environment again.")
        sys.exit(130)
    except (OperatorError, OSError) as error:
        progress(str(error))
        sys.exit(2)
