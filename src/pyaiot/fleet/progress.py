# SPDX-License-Identifier: BSD-3-Clause
"""Progress lines on a terminal or in a log."""

import shutil
from collections.abc import Callable
from typing import Final, TextIO

PLAIN_LINES_EVERY: Final = 10
"""Without a terminal, one line in ten is written."""


class Progress:
    """Call it with each line. On a terminal, each line overwrites the last one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._lines = 0

    def __call__(self, line: str) -> None:
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{line[:width]:<{width}}")
            self._stream.flush()
        elif self._lines % PLAIN_LINES_EVERY == 0:
            print(line, file=self._stream, flush=True)
        self._lines += 1

    def before(self, print_line: Callable[[str], None]) -> Callable[[str], None]:
        """`print_line`, preceded by the removal of the progress line."""

        def print_result(text: str) -> None:
            if self._is_terminal and self._lines:
                width = shutil.get_terminal_size().columns - 1
                self._stream.write(f"\r{'':<{width}}\r")
                self._stream.flush()
            print_line(text)

        return print_result
