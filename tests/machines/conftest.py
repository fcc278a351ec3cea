# SPDX-License-Identifier: BSD-3-Clause
"""The machines: the releases of Debian that `PYAIOT_TEST_DEBIANS` names."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import machines, page
from scripts.packaging import deb, distributions
from scripts.packaging.targets import DEBIANS
from tests.machines.machine import Machine
from tests.machines.wheels import made_wheelhouse

RELEASES = os.environ.get("PYAIOT_TEST_DEBIANS", "").split() or [""]
"""The releases of Debian that are tested; each takes two to three minutes."""
LIMIT_S = 900.0


@pytest.fixture(autouse=True)
def more_time() -> None:
    """A machine that is installed and rebooted takes minutes beside other tests."""
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)


@pytest.fixture(scope="package", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """The release of Debian. A requested release that cannot be started is a failure."""
    name: str = request.param
    if not name:
        pytest.skip("PYAIOT_TEST_DEBIANS names no release of Debian")
    if reason := machines.why_not():
        pytest.fail(f"no machine can be started: {reason}")
    if not page.is_built():
        pytest.fail("the dashboard is not built: python scripts/page.py builds it")
    if not machines.folder_of(name).is_dir():
        pytest.fail(f"there is no Debian {name}: python scripts/machines.py {name} makes it")
    return name


@pytest.fixture(scope="package")
def machine(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A newly installed machine."""
    folder = tmp_path_factory.mktemp("machine")
    with Machine(machines.folder_of(release), folder / "m") as running:
        yield running


@pytest.fixture(scope="package")
def package(release: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of this checkout, for the release."""
    folder = tmp_path_factory.mktemp("packages")
    wheel = distributions.build(folder)[-1]
    return deb.make(folder, release, "amd64", wheel, quick=True)


@pytest.fixture(scope="package")
def wheels(release: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse of this checkout, for the release."""
    return made_wheelhouse(tmp_path_factory.mktemp("wheelhouse"), DEBIANS[release])
