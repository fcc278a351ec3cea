# SPDX-License-Identifier: BSD-3-Clause
"""Sequence numbers of a simulated node: none is used twice."""

from pathlib import Path

import pytest

from pyaiot.devices.sequence_file import STEP, SequenceFile
from pyaiot.errors import OperatorError


def test_no_number_is_used_twice(tmp_path: Path) -> None:
    path = tmp_path / "lamp.seq"
    used: list[int] = []
    for count in (3, STEP + 1, 2 * STEP):
        numbers = SequenceFile(path)  # the process before it was killed
        used += [numbers.take() for _ in range(count)]
    assert used == sorted(set(used))
    assert used[:3] == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "many"])
def test_damaged_file_is_an_error_of_the_operator(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lamp.seq"
    path.write_text(text)
    with pytest.raises(OperatorError, match="cannot be read"):
        SequenceFile(path)


def test_file_that_cannot_be_written_is_an_error_of_the_operator(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be written"):
        SequenceFile(tmp_path / "missing" / "lamp.seq")
