# SPDX-License-Identifier: BSD-3-Clause
"""Creates the store that a setting names."""

from pathlib import Path

from pyaiot.errors import OperatorError
from pyaiot.history.store import RetentionPolicy, Store
from pyaiot.postgres import importing_asyncpg, is_database, is_url
from pyaiot.redaction import redact


def store_at(location: str, keep: RetentionPolicy, *, is_shared: bool = False) -> Store:
    """The store at a path or a URL `postgresql://…`. Nothing is opened yet.

    `is_shared`: other brokers of a cluster write the same database.

    Raises `OperatorError` for another URL.
    """
    if is_url(location) and not is_database(location):
        raise OperatorError(
            f"The history cannot be stored in {redact(location)}: --history takes the path of a"
            " file, a URL postgresql://…, or off."
        )
    # Imported here: the module of the other store would cost memory.
    if is_database(location):
        with importing_asyncpg():
            from pyaiot.history.postgres.server import PostgresServer  # noqa: PLC0415
        return PostgresServer(location, keep, is_shared=is_shared)
    from pyaiot.history.sqlite.file import SqliteFile  # noqa: PLC0415

    return SqliteFile(Path(location).expanduser(), keep)
