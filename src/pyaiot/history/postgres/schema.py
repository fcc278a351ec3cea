# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a history database, in the schema `pyaiot`, and how older ones become newer ones.

The same tables as in a history file, with the same meaning (`history/sqlite/schema.py`); readings
stand in partitions of a week, made when they are needed and dropped as a whole.
"""

from typing import Any, Final

from pyaiot.history.store import StoreError

WEEK: Final = 7 * 86_400 * 1_000_000
"""Microseconds of one: a partition."""
WRITER_LOCK: Final = 0x41696F54
"""The advisory lock that the one writer holds."""

_AGGREGATE: Final = """
    CREATE TABLE {name} (
        series integer NOT NULL, at bigint NOT NULL, unit integer NOT NULL,
        low float8 NOT NULL, high float8 NOT NULL, total float8 NOT NULL, count bigint NOT NULL,
        last float8 NOT NULL,
        PRIMARY KEY (series, at, unit)
    )
"""

_FIRST: Final = (
    # A resource of a node that was ever heard of. In the order of bytes, as files sort them.
    """
    CREATE TABLE series (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        uid text COLLATE "C" NOT NULL, resource text COLLATE "C" NOT NULL, UNIQUE (uid, resource)
    )
    """,
    # Units by their SenML names.
    """
    CREATE TABLE unit (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE
    )
    """,
    # Readings: either a number, or a text, or JSON as it was sent.
    """
    CREATE TABLE reading (
        series integer NOT NULL, at bigint NOT NULL, unit integer NOT NULL,
        number float8, data text, json text, PRIMARY KEY (series, at)
    ) PARTITION BY RANGE (at)
    """,
    # What the numbers of a minute were, once it is over, and of an hour.
    _AGGREGATE.format(name="minute"),
    _AGGREGATE.format(name="hour"),
    # The minutes (step 60) and hours (3600) that are to be made from the level below.
    """
    CREATE TABLE stale (
        step integer NOT NULL, series integer NOT NULL, at bigint NOT NULL,
        PRIMARY KEY (step, series, at)
    )
    """,
    # That nodes and gateways came and went, and what the recorder has to say of itself.
    """
    CREATE TABLE event (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint NOT NULL, kind text NOT NULL,
        uid text NOT NULL, gateway text NOT NULL, detail text NOT NULL,
        until bigint, lost bigint NOT NULL
    )
    """,
    "CREATE INDEX event_at ON event (at, id)",
    # Commands, each with its receipt as soon as there is one.
    """
    CREATE TABLE command (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint NOT NULL,
        run text NOT NULL, number bigint,
        uid text NOT NULL, resource text NOT NULL, payload text NOT NULL,
        client text NOT NULL, client_id text NOT NULL,
        state text, detail text NOT NULL, elapsed_ms float8,
        UNIQUE (run, number)
    )
    """,
    "CREATE INDEX command_at ON command (at, id)",
)

_CLOCK: Final = (
    # One row: which time retention has reached, what the wall clock showed then, and for how long
    # it had run without a jump (`history/clock.py`). Unix times and seconds.
    """
    CREATE TABLE clock (
        id integer PRIMARY KEY CHECK (id = 1),
        trusted float8 NOT NULL, wall float8 NOT NULL, agreed_s float8 NOT NULL
    )
    """,
)

MIGRATIONS: Final = (_FIRST, _CLOCK)
"""Statements that lead from each version to the next. Only ever append."""


async def migrate(db: Any) -> None:
    """Bring the database to the version of this program. Raises `StoreError` for a newer one.

    Each step is done as a whole or not at all.
    """
    await db.execute("CREATE SCHEMA IF NOT EXISTS pyaiot")
    await db.execute("CREATE TABLE IF NOT EXISTS version (version integer NOT NULL)")
    version = await db.fetchval("SELECT coalesce(max(version), 0) FROM version")
    if version > len(MIGRATIONS):
        raise StoreError(f"its schema, version {version}, is of a newer Pyaiot than this one")
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        async with db.transaction():
            for statement in statements:
                await db.execute(statement)
            await db.execute("INSERT INTO version VALUES ($1)", number)
