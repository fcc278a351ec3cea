# SPDX-License-Identifier: BSD-3-Clause
"""The store that a setting names."""

import re
from pathlib import Path

from pyaiot.errors import OperatorError
from pyaiot.history.store import Keep, Store
from pyaiot.redaction import redact


def store_at(place: str, keep: Keep) -> Store:
    """The store at a path or a URL `postgresql://…`. Nothing is opened yet.

    Raises `OperatorError` for another URL.
    """
    # Imported where it is used: the other store would cost memory.
    if re.match(r"postgres(ql)?://", place):
        from pyaiot.history.postgres.server import PostgresServer  # noqa: PLC0415

        return PostgresServer(place, keep)
    if re.match(r"[a-z][a-z0-9+.-]*://", place, re.IGNORECASE):
        raise OperatorError(
            f"The history cannot be stored in {redact(place)}: --history takes the path of a file,"
            " a URL postgresql://…, or off."
        )
    from pyaiot.history.sqlite.file import SqliteFile  # noqa: PLC0415

    return SqliteFile(Path(place).expanduser(), keep)
