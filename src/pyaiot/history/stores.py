# SPDX-License-Identifier: BSD-3-Clause
"""Creates the store that a setting names."""

import re
from pathlib import Path

from pyaiot.errors import NotInstalled, OperatorError
from pyaiot.history.store import RetentionPolicy, Store
from pyaiot.redaction import redact


def store_at(location: str, keep: RetentionPolicy, *, is_shared: bool = False) -> Store:
    """The store at a path or a URL `postgresql://…`. Nothing is opened yet.

    `is_shared`: other brokers of a cluster write the same database.

    Raises `OperatorError` for another URL.
    """
    # Imported here: the module of the other store would cost memory.
    if re.match(r"postgres(ql)?://", location):
        try:
            from pyaiot.history.postgres.server import PostgresServer  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "asyncpg":
                raise
            raise NotInstalled(
                "PostgreSQL needs the package asyncpg, which has no wheels for 32-bit ARM: pip"
                " install asyncpg compiles it."
            ) from error

        return PostgresServer(location, keep, is_shared=is_shared)
    if re.match(r"[a-z][a-z0-9+.-]*://", location, re.IGNORECASE):
        raise OperatorError(
            f"The history cannot be stored in {redact(location)}: --history takes the path of a"
            " file, a URL postgresql://…, or off."
        )
    from pyaiot.history.sqlite.file import SqliteFile  # noqa: PLC0415

    return SqliteFile(Path(location).expanduser(), keep)
