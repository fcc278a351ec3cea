# SPDX-License-Identifier: BSD-3-Clause
"""Output of commands: with colours on a terminal, plain text otherwise."""

import codecs
import contextlib
import io
import os
import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Final, TextIO

from pyaiot.errors import OperatorError

EXIT_NO: Final = 1
"""A negative result: refused, no answer, no such node."""
EXIT_OPERATOR: Final = 2
"""The operator must change something first, see `OperatorError`."""

_COLOURS: Final = {
    "dim": "2",
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}
_GAP: Final = "  "
_COLUMN_MIN: Final = 6


def print_line(text: str) -> None:
    """Print to standard output, and flush it. Raises `OperatorError` if that is not possible.

    A character that the terminal cannot show is escaped.
    """
    encoding = sys.stdout.encoding or "utf-8"
    shown = text.encode(encoding, errors="backslashreplace").decode(encoding)
    with _written():
        print(shown, flush=True)


def write_bytes(data: bytes) -> None:
    """Write to standard output, and flush it. Raises `OperatorError` if that is not possible."""
    with _written():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has closed the pipe, which ends the command
    except OSError as error:
        # What is left in the buffer would fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OperatorError(f"Standard output cannot be written: {error.strerror}.") from error


def print_error(sentence: str) -> None:
    """Print a line to standard error, with the name of the program."""
    print(f"aiot: {sentence}", file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Untrusted text as one line, with control characters and line ends escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Escaped:
    """Escapes control characters in a UTF-8 file that is shown on a terminal, but for line ends."""

    def __init__(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        # Keeps a \r until the next character is known.
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=False)

    def encode(self, piece: bytes) -> bytes:
        """The next piece. A character or a line end may be in two pieces."""
        lines = self._decoder.decode(piece).replace("\r\n", "\n").split("\n")
        return "\n".join(map(plain, lines)).encode()


class Paint:
    """Adds colours if the stream is a terminal and NO_COLOR is not set."""

    def __init__(self, stream: TextIO) -> None:
        self.is_terminal = stream.isatty()
        self._on = (
            self.is_terminal
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "") != "dumb"
        )

    def __call__(self, colour: str, text: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._on else text

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None if there is none: lines are not cut."""
        return shutil.get_terminal_size().columns if self.is_terminal else None


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    paint: Paint,
    *,
    whole: Collection[str] = (),
) -> str:
    """Aligned columns. On a terminal the widest are cut, so that each row is one line.

    `whole`: headers of columns that are cut only if the others cannot be cut further.
    """
    widths = [max(map(_cells, column)) for column in zip(header, *rows, strict=True)]
    available = paint.width
    if available is not None:
        available -= len(_GAP) * (len(widths) - 1)
        first = [index for index, name in enumerate(header) if name not in whole]
        while sum(widths) > available and max(widths) > _COLUMN_MIN:
            candidates = [index for index in first if widths[index] > _COLUMN_MIN]
            widest = max(candidates or range(len(widths)), key=widths.__getitem__)
            widths[widest] -= 1
    lines = [paint("bold", _line(header, widths))]
    lines += [_line(row, widths) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(fit(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def fit(text: str, width: int) -> str:
    """Pad or cut the text to `width` cells of a terminal. An ellipsis marks a cut."""
    if _cells(text) <= width:
        return text + " " * (width - _cells(text))
    cut = ""
    for character in text:
        if _cells(cut + character) > width - 1:
            break
        cut += character
    return cut + "…" + " " * (width - 1 - _cells(cut))


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
