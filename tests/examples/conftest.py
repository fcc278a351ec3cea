# SPDX-License-Identifier: BSD-3-Clause
"""Programs that are ended with the test."""

from collections.abc import Iterator

import pytest

from tests.programs import Programs


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    started = Programs(tmp_path_factory.mktemp("home"))
    yield started
    started.close()
