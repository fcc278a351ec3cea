# SPDX-License-Identifier: BSD-3-Clause
"""Where a download is written."""

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyaiot.cli.download import save
from pyaiot.errors import OperatorError


async def pieces() -> AsyncIterator[bytes]:
    yield b"a,b\n"
    yield b"1,2\n"


async def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    target = tmp_path / "kept.csv"
    target.write_bytes(b"before")
    link = tmp_path / "out.csv"
    link.symlink_to(target)
    assert await save(pieces(), link) == 8
    assert link.is_symlink()
    assert target.read_bytes() == b"a,b\n1,2\n"
    assert not (tmp_path / "kept.csv.part").exists()


async def test_a_named_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert await save(pieces(), pipe) == 8
    reader.join(timeout=5.0)
    assert read == [b"a,b\n1,2\n"]
    assert pipe.is_fifo()


async def test_a_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be written: Is a directory"):
        await save(pieces(), tmp_path)
