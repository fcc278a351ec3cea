# SPDX-License-Identifier: BSD-3-Clause
"""Saves a download to a file that appears when it is complete, and shows the progress."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of
from pyaiot.fleet.progress import Progress

PROGRESS_S: Final = 0.25
"""The shortest time between two updates of the progress line."""
_MEGABYTE: Final = 1_000_000


async def save(pieces: AsyncIterator[bytes], path: Path) -> int:
    """Write `pieces` to `path` and return the size in bytes. The file is replaced at the end. A
    device or a named pipe is written to directly, and a link stays a link.

    Raises `OperatorError` if it cannot be written, and what `pieces` raises. An existing file
    then stays unchanged.
    """
    target, is_replaced = _target(path)
    part = target.with_name(target.name + ".part") if is_replaced else target
    size = 0
    try:
        with part.open("wb") as file, _progress() as update:
            async for piece in pieces:
                file.write(piece)
                size += len(piece)
                update(size)
        if is_replaced:
            part.replace(target)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {reason_of(error)}.") from error
    finally:
        if is_replaced:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return size


def _target(path: Path) -> tuple[Path, bool]:
    """The file that a path names, and whether it is replaced: a device is not."""
    target = path.resolve()
    return target, target.is_file() or not target.exists()


class _SizeLine:
    """Shows the size and the rate of the download."""

    def __init__(self, line: Progress | None) -> None:
        self._line = line
        self._started = self._updated = time.monotonic()

    def __call__(self, size: int) -> None:
        now = time.monotonic()
        if self._line is None or now < self._updated + PROGRESS_S:
            return
        self._updated = now
        rate = size / (now - self._started)
        self._line(f"{size / _MEGABYTE:,.1f} MB, {rate / _MEGABYTE:,.1f} MB/s")


@contextlib.contextmanager
def _progress() -> Iterator[_SizeLine]:
    """A progress line on a terminal, which is cleared at the end of the block."""
    line = Progress(sys.stderr) if sys.stderr.isatty() else None
    try:
        yield _SizeLine(line)
    finally:
        if line is not None:
            line.before(lambda _: None)("")
