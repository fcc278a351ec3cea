# SPDX-License-Identifier: BSD-3-Clause
"""Data of every released version opens: each schema that a version had, and a newer one is refused.

A migration that somebody's file has been through must never change: `DIGESTS` holds each.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from pyaiot.accounts import database as accounts
from pyaiot.accounts import device_file as devices
from pyaiot.accounts.private_database import PrivateDatabase
from pyaiot.backup.database import schema_of
from pyaiot.backup.parts import Part
from pyaiot.errors import OperatorError, PyaiotError
from pyaiot.gateways.coap.oscore import numbers_file
from pyaiot.history.sqlite import schema as history
from pyaiot.registry import sqlite as registry

DATABASES: Final[dict[str, tuple[int, Sequence[Sequence[str]]]]] = {
    "accounts": (accounts.APPLICATION_ID, accounts.MIGRATIONS),
    "devices": (devices.APPLICATION_ID, devices.MIGRATIONS),
    "history": (history.APPLICATION_ID, history.MIGRATIONS),
    "oscore": (numbers_file.APPLICATION_ID, numbers_file.MIGRATIONS),
    "registry": (registry.APPLICATION_ID, registry.MIGRATIONS),
}
DIGESTS: Final = {
    # Of the statements of each migration, in order.
    "accounts": ["a51e73756b6f", "ecb8e403dd4e", "f6c06e79b430"],
    "devices": ["59b29b1ecd3d", "5047eef7640e"],
    "history": ["67bc64428aaf", "8bd159f144dd", "db46bbb77d22"],
    "oscore": ["a760d7a7ddc1"],
    "registry": ["0843f042cc97", "46a1fe6bafb1", "b1b3411d16f8", "812b7c272ba8"],
}


def older(name: str, version: int, folder: Path) -> Path:
    """A file as a version with this schema left it."""
    application_id, migrations = DATABASES[name]
    path = folder / f"{name}.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statements in migrations[:version]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {application_id}")
        db.execute(f"PRAGMA user_version = {version}")
    path.chmod(0o600)
    return path


def open_and_close(name: str, path: Path) -> None:
    application_id, migrations = DATABASES[name]
    if name == "history":
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            history.migrate(db)
    elif name == "registry":
        store = registry.SqliteStore(path)
        try:
            store.open()
        finally:
            store.close()
    else:
        PrivateDatabase(path, application_id, migrations).close()


def tables(path: Path) -> list[tuple[str, str]]:
    """Names and columns of all tables."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return [
            (name, column[1])
            for (name,) in names.fetchall()
            for column in db.execute(f"PRAGMA table_info({name})").fetchall()
        ]


STEPS: Final = [
    (name, version)
    for name, (_, migrations) in DATABASES.items()
    for version in range(1, len(migrations) + 1)
]


@pytest.mark.parametrize(("name", "version"), STEPS)
def test_file_of_each_schema_is_migrated_to_the_newest(
    name: str, version: int, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    path, new = older(name, version, tmp_path), tmp_path / "new" / f"{name}.db"
    open_and_close(name, path)
    open_and_close(name, new)
    application_id, migrations = DATABASES[name]
    part = Part(name, "database", path, "", application_id, len(migrations))
    assert schema_of(path, part) == len(migrations)
    assert tables(path) == tables(new)


@pytest.mark.parametrize("name", DATABASES)
def test_file_of_a_newer_version_is_refused_with_a_sentence_and_stays(
    name: str, tmp_path: Path
) -> None:
    newest = len(DATABASES[name][1])
    path = older(name, newest, tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {newest + 1}")
    before = path.read_bytes()
    with pytest.raises((OperatorError, PyaiotError), match="newer Pyaiot"):
        open_and_close(name, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", DATABASES)
def test_migration_that_others_have_carried_out_never_changes(name: str) -> None:
    digests = [
        hashlib.sha256("\0".join(" ".join(it.split()) for it in statements).encode()).hexdigest()[
            :12
        ]
        for statements in DATABASES[name][1]
    ]
    known = DIGESTS[name]
    assert digests[: len(known)] == known, "add a migration instead"
    assert len(digests) == len(known), "add the digest of the new migration here"
