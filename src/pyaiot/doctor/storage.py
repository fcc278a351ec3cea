# SPDX-License-Identifier: BSD-3-Clause
"""What is on the disk: keys, room, and the history."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from pyaiot.broker.keys import load_keys
from pyaiot.config import KEY_FILE, Config, data_folder
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding
from pyaiot.errors import OperatorError
from pyaiot.history.store import Keep
from pyaiot.history.stores import store_at

CHECK_LIMIT_S: Final = 4.0
"""A history that is not read through in that time is believed to be good, and said so."""
_PROGRESS_STEPS: Final = 10_000
POSTGRES_LIMIT_S: Final = 4.0
"""A server that did not let us in for so long is said not to answer."""


def look_at_keys(config: Config) -> Finding:
    """The key file that gateways in other processes need."""
    path = Path(config.broker.key_file).expanduser()
    if not path.exists() and config.broker.key_file == KEY_FILE:
        return Finding(
            "settings", "keys", "ok", "no key file: gateways in other processes are not let in"
        )
    try:
        load_keys(path)
    except OperatorError as error:
        says, _, do = str(error).rstrip(".").partition(": ")
        if not do.startswith(("make", "mend")):
            says, do = str(error).rstrip("."), "`aiot generate-keys --force` makes new ones"
        return Finding("settings", "keys", "wrong", says, do)
    return Finding("settings", "keys", "ok", f"{path} is good, and only its owner reads it")


def look_at_disk() -> Iterator[Finding]:
    """Whether there is a folder to keep things in, and room."""
    folder = data_folder(os.environ)
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "settings",
            "disk",
            "wrong",
            f"{there} cannot be written to",
            "`chown` it to who runs Pyaiot, or set XDG_DATA_HOME to another folder",
        )
        return
    yield findings.disk(str(folder), shutil.disk_usage(there).free)


async def look_at_history(config: Config) -> Finding:
    """Whether what is kept can be read."""
    store = config.history.store
    if store == "off":
        return Finding("settings", "history", "ok", "off: nothing is kept")
    if store.startswith(("postgresql://", "postgres://")):
        return await _look_at_postgres(store)
    try:
        if store:
            store_at(store, Keep())
    except OperatorError as error:
        says, _, do = str(error).rstrip(".").partition(": ")
        return Finding("settings", "history", "wrong", says, do)
    return await asyncio.to_thread(_look_at_file, store)


def _look_at_file(store: str) -> Finding:
    path = Path(store).expanduser() if store else data_folder(os.environ) / "history.db"
    if not path.exists():
        return Finding("settings", "history", "ok", f"none yet; it will be {path}")
    from pyaiot.history.sqlite.schema import APPLICATION_ID, MIGRATIONS  # noqa: PLC0415

    move = f"keep it apart: `mv {path} {path}.broken`; a new one is begun at the next start"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (application,) = db.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                do = "name another file with --history"
                return Finding("settings", "history", "wrong", f"{path} is of another program", do)
            if version > len(MIGRATIONS):
                do = "run the newer Pyaiot, or name another file with --history"
                return Finding("settings", "history", "wrong", f"{path} is of a newer Pyaiot", do)
            whole, problem = _quick_check(db)
    except sqlite3.Error as error:
        return Finding("settings", "history", "wrong", f"{path} cannot be read: {error}", move)
    if problem:
        return Finding("settings", "history", "wrong", f"{path} is damaged: {problem}", move)
    size = f"{path.stat().st_size / 1e6:,.1f} MB"
    how = "is whole" if whole else f"is too large to be read through in {CHECK_LIMIT_S:.0f} s"
    return Finding("settings", "history", "ok", f"{path} ({size}) {how}")


def _quick_check(db: sqlite3.Connection) -> tuple[bool, str]:
    """Whether it was read to its end, and what is wrong."""
    until = time.monotonic() + CHECK_LIMIT_S
    db.set_progress_handler(lambda: time.monotonic() > until, _PROGRESS_STEPS)
    try:
        (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return False, ""
        raise
    return True, "" if said == "ok" else str(said).splitlines()[-1][:120]


async def _look_at_postgres(url: str) -> Finding:
    import asyncpg  # noqa: PLC0415 - most have none

    from pyaiot.history.postgres.server import without_password  # noqa: PLC0415

    name = without_password(url)
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
    do = "start it, or mend user, password and database of --history"
    return Finding("settings", "history", "wrong", f"{name}: {reason}", do)
