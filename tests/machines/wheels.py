# SPDX-License-Identifier: BSD-3-Clause
"""Wheels from which a machine without network installs Pyaiot."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from scripts.packaging import distributions, wheelhouse
from scripts.packaging.targets import DEBIANS, PLATFORMS


def made_wheelhouse(folder: Path, python: str) -> Path:
    """The wheels for x86-64 and one Python. Wheels in the cache are not downloaded."""
    target = PLATFORMS["x86_64"]
    packages = list(wheelhouse.contents(target, python))
    cache = wheelhouse.cache("x86_64")
    wheelhouse.download(cache, target, python, packages)
    for package in packages:
        found = wheelhouse.find(cache, package, python)
        assert found is not None
        shutil.copy2(found, folder)
    wheel = distributions.build(folder / "built")[-1]
    shutil.move(wheel, folder)
    shutil.rmtree(folder / "built")
    return folder


def add_build_tools(wheels: Path, release: str, folder: Path) -> Path:
    """The same wheelhouse in another folder, with the packages that build the checkout."""
    shutil.copytree(wheels, folder)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--only-binary=:all:", "--python-version", DEBIANS[release], "--dest", str(folder)),
        f"hatchling=={version('hatchling')}",
    ]
    subprocess.run(command, check=True)
    return folder
