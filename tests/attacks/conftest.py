# SPDX-License-Identifier: BSD-3-Clause
"""What was logged during an attack, and programs that are ended with the test."""

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
    """Everything that is logged at any level, also what an operator would not see."""
    caplog.set_level("DEBUG")
    return Log(caplog)
