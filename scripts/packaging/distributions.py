# SPDX-License-Identifier: BSD-3-Clause
"""The source distribution and the wheel."""

import shutil
import sys
from pathlib import Path

from scripts import page
from scripts.packaging.common import EPOCH, ROOT, VERSION, CannotRelease, report, run, source_date


def build(into: Path) -> list[Path]:
    """Build both into a folder and return them. Files of other versions are not changed."""
    try:
        if not page.is_built(ROOT):
            page.build(ROOT)
    except page.CannotBuild as error:
        raise CannotRelease(f"The dashboard cannot be built: {error}.") from error
    report(f"Building pyaiot {VERSION} ...")
    date = str(source_date())
    for kind in ("sdist", "wheel"):
        command = [sys.executable, "-I", "-m", "hatchling", "build", "-t", kind, "-d", into]
        run(command, variables={EPOCH: date})
    built = [into / f"pyaiot-{VERSION}.tar.gz", into / f"pyaiot-{VERSION}-py3-none-any.whl"]
    for path in built:
        if not path.is_file():
            raise CannotRelease(f"{path.name} was not built: is the version right?")
    shutil.rmtree(into / ".tmp", ignore_errors=True)
    return built
