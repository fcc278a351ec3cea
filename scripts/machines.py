#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make the root file systems of the machines on which packages and services are tested.

Usage: machines.py [RELEASE...]    of Debian; by default 12

They are kept in `~/.cache/pyaiot/machines`. It needs root, debootstrap and systemd-container.
Prints the folder of each. The exit code is 3 if they cannot be made here.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

NAMES: Final = {"12": "bookworm", "13": "trixie"}
INCLUDED: Final = (
    "systemd,systemd-sysv,libpam-systemd,dbus,python3-minimal,python3-venv,ca-certificates"
)
CANNOT: Final = 3


def folder_of(release: str) -> Path:
    """The folder with the root file system of a release."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(INCLUDED.encode()).hexdigest()[:8]
    return cache / "pyaiot" / "machines" / f"debian-{release}-{digest}"


def why_not() -> str:
    """Why no machine can be started here; empty if no obstacle is known."""
    if os.geteuid() != 0:
        return "it needs root"
    for program in ("systemd-nspawn", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt install systemd-container util-linux)"
    return ""


def make(release: str) -> Path:
    """Make the root file system if it does not exist. Raises `subprocess.CalledProcessError`."""
    folder = folder_of(release)
    if folder.is_dir():
        return folder
    print(f"Making a Debian {release} in {folder} ...", file=sys.stderr, flush=True)
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={INCLUDED}",
        NAMES[release],
        str(new),
    ]
    with (new.parent / "debootstrap.log").open("w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)
    shutil.rmtree(new / "var" / "cache" / "apt" / "archives", ignore_errors=True)
    new.rename(folder)
    return folder


def main(releases: list[str]) -> int:
    reason = why_not() or ("" if shutil.which("debootstrap") else "debootstrap is not installed")
    if reason:
        print(f"Machines cannot be made here: {reason}.", file=sys.stderr)
        return CANNOT
    for release in releases or ["12"]:
        if release not in NAMES:
            print(__doc__, file=sys.stderr)
            return 2
        try:
            print(make(release))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"Debian {release} cannot be made: {error}", file=sys.stderr)
            return CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
