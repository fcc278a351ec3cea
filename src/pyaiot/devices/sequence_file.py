# SPDX-License-Identifier: BSD-3-Clause
"""The sequence numbers of a simulated node with OSCORE, in a file beside its key."""

import os
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of

STEP: Final = 100
"""Sequence numbers that are reserved at once. Those that are left are lost with the process."""


class SequenceFile:
    """Numbers that were never used, also by a process that was killed (RFC 8613, Appendix
    B.1.1)."""

    def __init__(self, path: Path) -> None:
        """A missing file begins with 0. Raises `OperatorError` if the file cannot be used."""
        self._path = path
        try:
            self._next = self._end = int(path.read_text("ascii")) if path.exists() else 0
        except (OSError, ValueError) as error:
            raise OperatorError(f"The file {path} cannot be read: {reason_of(error)}.") from error
        self._reserve()

    def take(self) -> int:
        """Raises `OperatorError` if no more numbers can be reserved."""
        if self._next == self._end:
            self._reserve()
        self._next += 1
        return self._next - 1

    def _reserve(self) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(str(self._end + STEP))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise OperatorError(
                f"The file {self._path} cannot be written: {reason_of(error)}."
            ) from error
        self._end += STEP
