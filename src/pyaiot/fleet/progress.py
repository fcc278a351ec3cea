# SPDX-License-Identifier: BSD-3-Clause
"""How a run goes, on a terminal or in a log."""

import shutil
from collections.abc import Callable
from typing import Final, TextIO

PLAIN_LINES_EVERY: Final = 10
"""Where there is no terminal, one line of so many is written."""


class Progress:
    """Call it with each line. On a terminal the last one is written over, else they add up."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lives = stream.isatty()
        self._lines = 0

    def __call__(self, line: str) -> None:
        if self._lives:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{line[:width]:<{width}}")
            self._stream.flush()
        elif self._lines % PLAIN_LINES_EVERY == 0:
            print(line, file=self._stream, flush=True)
        self._lines += 1

    def before(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """What says something after the last line."""

        def say_below(text: str) -> None:
            if self._lives and self._lines:
                width = shutil.get_terminal_size().columns - 1
                self._stream.write(f"\r{'':<{width}}\r")
                self._stream.flush()
            say(text)

        return say_below
