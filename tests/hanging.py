# SPDX-License-Identifier: BSD-3-Clause
"""Tests that hang, and one that does not, for the inner pytest of `tests/test_hang_limits.py`."""

import time
from collections.abc import Iterator

import pytest

LONG_S = 600.0


@pytest.fixture
def never_ends() -> Iterator[None]:
    yield
    time.sleep(LONG_S)


@pytest.mark.usefixtures("never_ends")
def test_that_hangs_and_whose_fixture_hangs() -> None:
    time.sleep(LONG_S)


def test_that_hangs() -> None:
    time.sleep(LONG_S)


def test_after_them() -> None:
    pass
