# SPDX-License-Identifier: BSD-3-Clause
"""Wheelhouses: folders with every wheel that an installation without a network needs.

Versions and hashes are those of requirements/run.txt; that of pip is in requirements/tools.txt.
"""

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from scripts.packaging.common import ROOT, CannotRelease, report, run
from scripts.packaging.targets import PLATFORMS, Platform

LOCK: Final = ROOT / "requirements" / "run.txt"
BUILD_ONLY: Final = "hatchling"
"""The package in the lock file that is needed only for the checkout; its dependencies are left out,
too."""
NOTE: Final = "MISSING.txt"
"""The file in a wheelhouse that lists packages without wheels for the platform."""
PIP: Final = "pip"
"""Included in a wheelhouse although Pyaiot does not need it: pipx first installs a current
version."""
_TOOLS_LOCK: Final = ROOT / "requirements" / "tools.txt"


_PIP_DOWNLOAD: Final = (
    *(sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-input"),
    "--disable-pip-version-check",
)


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock file."""

    requirement: Requirement
    hashes: tuple[str, ...]
    via: frozenset[str]
    """The packages that need it."""

    def line(self) -> str:
        """The line of a requirements file, without the marker."""
        return " ".join(
            [f"{self.requirement.name}{self.requirement.specifier}"]
            + [f"--hash={it}" for it in self.hashes]
        )


def read_lock(text: str) -> list[Locked]:
    """The packages of a lock file, except those that are only needed for builds."""
    entries = []
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", re.sub(r"(?m)^# .*\n", "", text)):
        if not block.strip():
            continue
        head = block.partition("\\")[0]
        via = frozenset(re.findall(r"(?m)^    #(?: via|  ) +([\w.-]+)", block))
        hashes = tuple(re.findall(r"--hash=(sha256:\w+)", block))
        entries.append(Locked(Requirement(head.strip()), hashes, via))
    left_out = {BUILD_ONLY}
    while (
        more := {it.requirement.name for it in entries if it.via and it.via <= left_out} - left_out
    ):
        left_out |= more
    return [it for it in entries if it.requirement.name not in left_out]


def wanted(platform: Platform, python: str) -> Iterator[Locked]:
    """The packages of an installation on that platform."""
    markers = dict(platform.markers(python))
    for locked in read_lock(LOCK.read_text("utf-8")):
        marker = locked.requirement.marker
        if marker is None or marker.evaluate(markers):
            yield locked


def contents(platform: Platform, python: str) -> Iterator[Locked]:
    """The packages of a wheelhouse: those of an installation, and pip."""
    yield from wanted(platform, python)
    for locked in read_lock(_TOOLS_LOCK.read_text("utf-8")):
        if locked.requirement.name == PIP:
            yield locked


def cache(platform: str) -> Path:
    """A persistent folder of wheels, so that a second build downloads nothing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "pyaiot" / "wheels" / platform
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def make(folder: Path, platform: str, pythons: Iterable[str], wheel: Path) -> None:
    """Fill a folder for a platform. Existing correct files are kept. Packages without wheels are
    listed in `MISSING.txt`, and their sources are included. Raises `CannotRelease`."""
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    for python in pythons:
        report(f"Wheels for {platform}, Python {python} ...")
        locked = list(contents(PLATFORMS[platform], python))
        try:
            download(folder, PLATFORMS[platform], python, locked)
        except CannotRelease:
            for one in locked:
                try:
                    download(folder, PLATFORMS[platform], python, [one], quiet=True)
                except CannotRelease:
                    missing[one.requirement.name] = one.line()
    for old in folder.glob("pyaiot-*.whl"):
        old.unlink()
    shutil.copy2(wheel, folder)
    (folder / NOTE).unlink(missing_ok=True)
    if missing:
        for name, line in missing.items():
            _download_source(folder, name, line)
        _download_build_tools(folder, set(missing))
        (folder / NOTE).write_text(
            f"There are no wheels for {platform} of: {', '.join(sorted(missing))}.\n"
            "pip compiles their sources, which are here, with the tools of Python that they need."
            " It also needs gcc, python3-dev, libffi-dev, cmake and ninja-build.\n"
        )
        report(f"{platform}: no wheels of {', '.join(sorted(missing))}; their sources are there.")


def download(
    folder: Path,
    platform: Platform,
    python: str,
    packages: Sequence[Locked],
    *,
    quiet: bool = False,
) -> None:
    """Download the wheels of packages and check their hashes. Wheels that exist in the folder are
    not downloaded. Raises `CannotRelease`."""
    packages = [it for it in packages if find(folder, it, python) is None]
    if not packages:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(it.line() for it in packages))
        file.flush()
        tags = [word for tag in platform.tags for word in ("--platform", tag)]
        command = [
            *(*_PIP_DOWNLOAD, "--no-deps", "--only-binary=:all:", "--require-hashes"),
            *("--python-version", python, "--implementation", "cp"),
            *(*tags, "--dest", str(folder), "--requirement", file.name),
        ]
        if quiet:
            command += ["--retries", "1"]
        run(command)


def find(folder: Path, package: Locked, python: str) -> Path | None:
    """The wheel of a package in a folder with wheels for several versions of Python; None if it is
    missing."""
    tag = f"cp{python.replace('.', '')}"
    version = str(package.requirement.specifier).removeprefix("==")
    name = re.sub(r"[-_.]+", "_", package.requirement.name)
    fitting = [
        path
        for path in folder.glob(f"{name}-{version}-*.whl")
        if _fits(path.name.split("-")[-3:-1], tag)
        and f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" in package.hashes
    ]
    # A wheel for this Python is preferred to one for any.
    return max(fitting, key=lambda path: tag in path.name, default=None)


def _fits(tags: Sequence[str], tag: str) -> bool:
    pythons, abi = tags[0].split("."), tags[1]
    if "abi3" in abi:
        return any(it.startswith("cp3") and int(it[3:]) <= int(tag[3:]) for it in pythons)
    return tag in pythons or "py3" in pythons


def _download_source(folder: Path, name: str, line: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(line)
        file.flush()
        # pip builds the metadata of the source. The tools for that may be wheels.
        hashed = ("--require-hashes", "--requirement", file.name)
        run([*_PIP_DOWNLOAD, "--no-deps", f"--no-binary={name}", "--dest", str(folder), *hashed])


def _download_build_tools(folder: Path, missing: set[str]) -> None:
    """The wheels that are needed to build the sources in the folder. All are pure Python."""
    wanted: set[str] = set()
    for source in folder.glob("*.tar.gz"):
        wanted |= {
            requirement
            for requirement in build_requirements(source)
            if Requirement(requirement).name not in missing
        }
    run([*_PIP_DOWNLOAD, "--only-binary=:all:", "--dest", str(folder), *sorted(wanted)])


def build_requirements(source: Path) -> list[str]:
    """The build requirements in the `pyproject.toml` of a source distribution."""
    with tarfile.open(source) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None and re.fullmatch(r"[^/]+/pyproject\.toml", member.name):
                table = tomllib.loads(file.read().decode())
                return list(table.get("build-system", {}).get("requires", ["setuptools"]))
    return ["setuptools"]
