# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures: the log of an attack, and programs that end with the test."""

from collections.abc import Iterator

import pytest

from tests.attacks.running import Log
from tests.programs import Programs


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    started = Programs(tmp_path_factory.mktemp("home"))
    yield started
    started.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """The log at every level."""
    caplog.set_level("DEBUG")
    return Log(caplog)
