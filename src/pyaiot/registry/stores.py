# SPDX-License-Identifier: BSD-3-Clause
"""The store of the registry that a setting names."""

from pathlib import Path

from pyaiot.errors import OperatorError
from pyaiot.postgres import importing_asyncpg, is_database, is_url
from pyaiot.redaction import redact
from pyaiot.registry.store import RegistryStore


def store_at(location: str, *, is_shared: bool = False) -> RegistryStore:
    """The store at a path or a URL `postgresql://…`. Nothing is opened yet.

    `is_shared`: other brokers of a cluster write the same database.

    Raises `OperatorError` for another URL.
    """
    if is_url(location) and not is_database(location):
        raise OperatorError(
            f"The registry cannot be stored in {redact(location)}: --registry takes the path of a"
            " file, a URL postgresql://…, or off."
        )
    # Imported here: the module of the other store would cost memory.
    if is_database(location):
        with importing_asyncpg():
            from pyaiot.registry.postgres import PostgresStore  # noqa: PLC0415
        return PostgresStore(location, is_shared=is_shared)
    from pyaiot.registry.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(Path(location).expanduser())
