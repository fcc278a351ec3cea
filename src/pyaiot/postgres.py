# SPDX-License-Identifier: BSD-3-Clause
"""The common parts of all stores in PostgreSQL: their URLs, and the migration of a schema."""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pyaiot.errors import NotInstalled, OperatorError


def is_database(location: str) -> bool:
    """Whether the location of a store is a URL `postgresql://…`."""
    return re.match(r"postgres(ql)?://", location) is not None


def is_url(location: str) -> bool:
    """Whether the location of a store is a URL of any kind instead of a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", location, re.IGNORECASE) is not None


@contextlib.contextmanager
def importing_asyncpg() -> Iterator[None]:
    """Raises `NotInstalled` if a module in the block cannot be imported without asyncpg."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise NotInstalled(
            "PostgreSQL needs the package asyncpg, which has no wheels for 32-bit ARM: pip install"
            " asyncpg compiles it."
        ) from error


def without_password(url: str, flag: str) -> str:
    """The URL without its password, for display. `flag`: the flag of the setting. Raises
    `OperatorError` if the URL is not valid."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if it is not a number
    except ValueError as error:
        # The text of the error would quote the password of a URL in which it is not escaped.
        raise OperatorError(
            f"The URL after {flag} is not valid: use"
            " postgresql://user:password@host:port/database, with %2F for a / in the password,"
            " %23 for #, %3F for ? and %40 for @."
        ) from error
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, user.partition(":")[0] + at + host, parts.path, "", ""))


async def migrate(
    db: Any, schema: str, migrations: Sequence[Sequence[str]], newer: Callable[[str], Exception]
) -> None:
    """Migrate a schema to the version of this program, one transaction for each step.

    `db`: a connection whose search path is the schema; the caller holds a lock. `migrations`: the
    statements that migrate each version to the next. `newer` makes the exception for a schema of a
    newer version, from its text.
    """
    await db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await db.execute("CREATE TABLE IF NOT EXISTS version (version integer NOT NULL)")
    version = await db.fetchval("SELECT coalesce(max(version), 0) FROM version")
    if version > len(migrations):
        raise newer(f"its schema, version {version}, was written by a newer Pyaiot")
    for number, statements in enumerate(migrations[version:], start=version + 1):
        async with db.transaction():
            for statement in statements:
                await db.execute(statement)
            await db.execute("INSERT INTO version VALUES ($1)", number)
