# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a history file, and their migrations.

Times `at` are Unix time: in `reading`, `event` and `command` in microseconds, in `minute` and
`hour` in minutes and hours.
"""

import sqlite3
from typing import Final

from pyaiot.history.store import StoreError

APPLICATION_ID: Final = 0x41696F54
"""In the header of the file; identifies it as a history of Pyaiot (`AioT`)."""

_FIRST: Final = (
    # A resource of a node.
    """
    CREATE TABLE series (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL, resource TEXT NOT NULL, UNIQUE (uid, resource)
    )
    """,
    # Units by their SenML names. The empty one is that of readings without a unit.
    "CREATE TABLE unit (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # Readings, clustered by resource, so that a range of one is contiguous. The type of `value`
    # is that of the value: a REAL is a number, a TEXT is what the device sent, a BLOB is JSON.
    """
    CREATE TABLE reading (
        series INTEGER NOT NULL, at INTEGER NOT NULL, value NOT NULL, unit INTEGER NOT NULL,
        PRIMARY KEY (series, at)
    ) WITHOUT ROWID
    """,
    # The numbers of a minute, aggregated after its end.
    """
    CREATE TABLE minute (
        series INTEGER NOT NULL, at INTEGER NOT NULL, unit INTEGER NOT NULL,
        low REAL NOT NULL, high REAL NOT NULL, total REAL NOT NULL, count INTEGER NOT NULL,
        last REAL NOT NULL,
        PRIMARY KEY (series, at, unit)
    ) WITHOUT ROWID
    """,
    # The same for an hour.
    """
    CREATE TABLE hour (
        series INTEGER NOT NULL, at INTEGER NOT NULL, unit INTEGER NOT NULL,
        low REAL NOT NULL, high REAL NOT NULL, total REAL NOT NULL, count INTEGER NOT NULL,
        last REAL NOT NULL,
        PRIMARY KEY (series, at, unit)
    ) WITHOUT ROWID
    """,
    # Marks: the minutes (step 60) and hours (3600) to be computed, perhaps again, from the level
    # below. A row is inserted in the transaction that makes it necessary, however late that is.
    """
    CREATE TABLE stale (
        step INTEGER NOT NULL, series INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (step, series, at)
    ) WITHOUT ROWID
    """,
    # Events of nodes, gateways and the recorder.
    """
    CREATE TABLE event (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL,
        uid TEXT NOT NULL, gateway TEXT NOT NULL, detail TEXT NOT NULL,
        until INTEGER, lost INTEGER NOT NULL
    )
    """,
    "CREATE INDEX event_at ON event (at)",
    # Commands, each with its receipt as soon as there is one. `run` and `number` identify them.
    """
    CREATE TABLE command (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, run TEXT NOT NULL, number INTEGER,
        uid TEXT NOT NULL, resource TEXT NOT NULL, payload TEXT NOT NULL,
        client TEXT NOT NULL, client_id TEXT NOT NULL,
        state TEXT, detail TEXT NOT NULL, elapsed_ms REAL,
        UNIQUE (run, number)
    )
    """,
    "CREATE INDEX command_at ON command (at)",
)

_CLOCK: Final = (
    # One row: the time of retention, the wall clock at that moment, and for how long it had run
    # without a jump (`history/clock.py`). Unix times and seconds.
    """
    CREATE TABLE clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        trusted REAL NOT NULL, wall REAL NOT NULL, agreed_s REAL NOT NULL
    )
    """,
)

_BY_NODE: Final = (
    # What happened to one node, and its state at a time, without reading that of all others.
    "CREATE INDEX event_uid ON event (uid, at)",
    "CREATE INDEX command_uid ON command (uid, at)",
    # Who issued a command, as in the audit log; empty: unknown.
    "ALTER TABLE command ADD COLUMN who TEXT NOT NULL DEFAULT ''",
)

MIGRATIONS: Final = (_FIRST, _CLOCK, _BY_NODE)
"""Statements that migrate each version (`PRAGMA user_version`) to the next. Append only."""


def migrate(db: sqlite3.Connection) -> None:
    """Migrate the file to the version of this program, one transaction for each step.

    Raises `StoreError` for a file of another program or of a newer version of Pyaiot.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"its schema, version {version}, was written by a newer Pyaiot: run that one, or name"
            " another file with --history"
        )
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (tables or application or version):
        raise StoreError("the file is a database of another program")
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
