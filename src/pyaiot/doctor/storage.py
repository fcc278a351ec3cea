# SPDX-License-Identifier: BSD-3-Clause
"""Checks of stored data: keys, free space, the history and the other databases."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from pyaiot.backup.parts import HISTORY, Part, parts
from pyaiot.broker.keys import load_keys
from pyaiot.config import KEY_FILE, Config, data_folder
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding
from pyaiot.errors import OperatorError
from pyaiot.history.store import RetentionPolicy
from pyaiot.history.stores import store_at

CHECK_LIMIT_S: Final = 4.0
"""How long the integrity check may take. After that the history counts as OK, with a note."""
_PROGRESS_STEPS: Final = 10_000
POSTGRES_LIMIT_S: Final = 4.0
"""How long PostgreSQL may take to accept a connection. After that it counts as not answering."""


def check_keys(config: Config) -> Finding:
    """Check the key file for gateways in other processes."""
    path = Path(config.broker.key_file).expanduser()
    if not path.exists() and config.broker.key_file == KEY_FILE:
        return Finding(
            "settings", "keys", "ok", "no key file: gateways in other processes are refused"
        )
    try:
        load_keys(path)
    except OperatorError as error:
        text, _, action = str(error).rstrip(".").partition(": ")
        if "generate-keys" not in action and "chmod" not in action:
            text, action = str(error).rstrip("."), "`aiot generate-keys --force` makes new keys"
        return Finding("settings", "keys", "wrong", text, action)
    return Finding("settings", "keys", "ok", f"{path} is valid, and only its owner can read it")


def check_disk() -> Iterator[Finding]:
    """Check that the data folder can be written to, and its free space."""
    folder = data_folder(os.environ)
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "settings",
            "disk",
            "wrong",
            f"{existing} is not writable",
            "`chown` it to the user of Pyaiot, or set XDG_DATA_HOME to another folder",
        )
        return
    yield findings.disk(str(folder), shutil.disk_usage(existing).free)


async def check_history(config: Config) -> Finding:
    """Check that the history can be read."""
    store = config.history.store
    if store == "off":
        return Finding("settings", "history", "ok", "off: nothing is recorded")
    if store.startswith(("postgresql://", "postgres://")):
        return await _check_postgres(store)
    try:
        if store:
            store_at(store, RetentionPolicy())
    except OperatorError as error:
        text, _, action = str(error).rstrip(".").partition(": ")
        return Finding("settings", "history", "wrong", text, action)
    return await asyncio.to_thread(_check_file, store)


def _check_file(store: str) -> Finding:
    path = Path(store).expanduser() if store else data_folder(os.environ) / "history.db"
    if not path.exists():
        return Finding("settings", "history", "ok", f"does not exist yet; it will be {path}")
    from pyaiot.history.sqlite.schema import APPLICATION_ID, MIGRATIONS  # noqa: PLC0415

    part = Part("history", "database", path, application_id=APPLICATION_ID, schema=len(MIGRATIONS))
    return _check_database(part)


async def check_databases(config: Config) -> list[Finding]:
    """Check that the databases other than the history, such as the registry, can be read: those
    that exist."""
    found = parts(config, os.environ, Path())
    others = [it for it in found if it.kind == "database" and it.name != HISTORY]
    return await asyncio.to_thread(
        lambda: [_check_database(it) for it in others if os.path.lexists(it.path)]
    )


def _check_database(part: Part) -> Finding:
    path = part.path
    has_flag = part.name in ("history", "registry")
    other = f"name another file with --{part.name}" if has_flag else "move it away"
    move = f"move it away: `mv {path} {path}.broken`; the next start creates a new one"
    if part.name != HISTORY:
        move = f"restore a backup with `aiot restore`, or {move}"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if application != part.application_id and (tables or application or version):
                text = f"{path} belongs to another program"
                return Finding("settings", part.name, "wrong", text, other)
            if version > part.schema:
                text = f"{path} belongs to a newer Pyaiot"
                action = f"run the newer Pyaiot, or {other}"
                return Finding("settings", part.name, "wrong", text, action)
            complete, problem = _quick_check(db)
        size = f"{path.stat().st_size / 1e6:,.1f} MB"
    except (sqlite3.Error, OSError) as error:
        return Finding("settings", part.name, "wrong", f"{path} cannot be read: {error}", move)
    if problem:
        return Finding("settings", part.name, "wrong", f"{path} is damaged: {problem}", move)
    state = "OK" if complete else f"too large to check in {CHECK_LIMIT_S:.0f} s"
    return Finding("settings", part.name, "ok", f"{path} ({size}): {state}")


def _quick_check(db: sqlite3.Connection) -> tuple[bool, str]:
    """Whether the check completed, and the problem that it found, if any."""
    until = time.monotonic() + CHECK_LIMIT_S
    db.set_progress_handler(lambda: time.monotonic() > until, _PROGRESS_STEPS)
    try:
        (result,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return False, ""
        raise
    return True, "" if result == "ok" else str(result).splitlines()[-1][:120]


async def _check_postgres(url: str) -> Finding:
    import asyncpg  # noqa: PLC0415 - needed only for PostgreSQL

    from pyaiot.postgres import without_password  # noqa: PLC0415

    name = without_password(url, "--history")
    try:
        async with asyncio.timeout(POSTGRES_LIMIT_S):
            connection = await asyncpg.connect(url, timeout=POSTGRES_LIMIT_S)
            version = connection.get_server_version()
            await connection.close()
    except TimeoutError:
        reason = f"no answer in {POSTGRES_LIMIT_S:.0f} s"
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        reason = str(error).splitlines()[0]
    else:
        return Finding("settings", "history", "ok", f"{name}, PostgreSQL {version.major}")
    action = "start it, or correct the user, password and database in --history"
    return Finding("settings", "history", "wrong", f"{name}: {reason}", action)
