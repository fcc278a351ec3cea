# SPDX-License-Identifier: BSD-3-Clause
"""A file that appears when it is complete, and how far it is."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError
from pyaiot.fleet.progress import Progress

PROGRESS_S: Final = 0.25
"""Between two times that a terminal is told how far it is."""
_MEGABYTE: Final = 1_000_000


async def save(pieces: AsyncIterator[bytes], path: Path) -> int:
    """Write them to `path`, which is replaced when all are there; their bytes.

    Raises `OperatorError` if it cannot be written, and what `pieces` raise. Then it is as it was.
    """
    beside = path.with_name(path.name + ".part")
    size = 0
    try:
        with beside.open("wb") as file, _progress() as tell:
            async for piece in pieces:
                file.write(piece)
                size += len(piece)
                tell(size)
        beside.replace(path)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return size


class _Tell:
    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._began = self._told = time.monotonic()

    def __call__(self, size: int) -> None:
        now = time.monotonic()
        if self._progress is None or now < self._told + PROGRESS_S:
            return
        self._told = now
        rate = size / (now - self._began)
        self._progress(f"{size / _MEGABYTE:,.1f} MB, {rate / _MEGABYTE:,.1f} MB/s")


@contextlib.contextmanager
def _progress() -> Iterator[_Tell]:
    progress = Progress(sys.stderr) if sys.stderr.isatty() else None
    try:
        yield _Tell(progress)
    finally:
        if progress is not None:
            progress.before(lambda _: None)("")
