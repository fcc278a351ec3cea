# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a history database, in the schema `pyaiot`, and their migrations.

They have the same meaning as in a history file (`history/sqlite/schema.py`). Readings are
partitioned by week; a partition is created when needed and dropped as a whole.
"""

from typing import Final

WEEK: Final = 7 * 86_400 * 1_000_000
"""The range of a partition, in microseconds."""
WRITER_LOCK: Final = 0x41696F54
"""The advisory lock of the only writer. The brokers of a cluster share it."""
WORKER_LOCK: Final = 0x41696F57
"""The advisory lock of the broker of a cluster that currently downsamples and deletes."""
SCHEMA_LOCK: Final = 0x41696F53
"""The advisory lock of a writer that changes tables, so that two writers do not do so at once."""

_AGGREGATE: Final = """
    CREATE TABLE {name} (
        series integer NOT NULL, at bigint NOT NULL, unit integer NOT NULL,
        low float8 NOT NULL, high float8 NOT NULL, total float8 NOT NULL, count bigint NOT NULL,
        last float8 NOT NULL,
        PRIMARY KEY (series, at, unit)
    )
"""

_FIRST: Final = (
    # A resource of a node. Ordered by bytes, as in SQLite.
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
    # Readings: a number, a text, or JSON as it was sent.
    """
    CREATE TABLE reading (
        series integer NOT NULL, at bigint NOT NULL, unit integer NOT NULL,
        number float8, data text, json text, PRIMARY KEY (series, at)
    ) PARTITION BY RANGE (at)
    """,
    # The numbers of a minute and of an hour, aggregated after its end.
    _AGGREGATE.format(name="minute"),
    _AGGREGATE.format(name="hour"),
    # Marks: the minutes (step 60) and hours (3600) to be computed from the level below.
    """
    CREATE TABLE stale (
        step integer NOT NULL, series integer NOT NULL, at bigint NOT NULL,
        PRIMARY KEY (step, series, at)
    )
    """,
    # Events of nodes, gateways and the recorder.
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
    # One row: the time of retention, the wall clock at that moment, and for how long it had run
    # without a jump (`history/clock.py`). Unix times and seconds.
    """
    CREATE TABLE clock (
        id integer PRIMARY KEY CHECK (id = 1),
        trusted float8 NOT NULL, wall float8 NOT NULL, agreed_s float8 NOT NULL
    )
    """,
)

_BY_NODE: Final = (
    # For the events and the state of one node at a time, without reading those of all others.
    "CREATE INDEX event_uid ON event (uid, at, id)",
    "CREATE INDEX command_uid ON command (uid, at, id)",
    # The issuer of a command, as in the audit log; empty if unknown.
    "ALTER TABLE command ADD COLUMN who text NOT NULL DEFAULT ''",
)

MIGRATIONS: Final = (_FIRST, _CLOCK, _BY_NODE)
"""Statements that migrate each version to the next. Append only."""
