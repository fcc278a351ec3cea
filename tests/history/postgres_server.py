# SPDX-License-Identifier: BSD-3-Clause
"""A PostgreSQL server for a test, on a socket in a separate folder, as an unprivileged user."""

import asyncio
import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any, Final

import asyncpg
import pytest

START_LIMIT_S: Final = 20.0
INITDB_FLAGS: Final = (*("-A", "trust", "-U", "pyaiot", "-E", "UTF8", "--locale=C", "--no-sync"),)


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, which Debian does not put on the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = which("postgres") or (str(debian[-1]) if debian else None)
    return Path(found).parent if found else None


def _kept_cluster(bin_: Path, folder: Path, user: dict[str, Any]) -> Path:
    """A database cluster in the cache, to be copied: `initdb` takes six times the CPU time.

    `folder`: of `user`, to make it in, if it is not there. It is made again for another `initdb`.
    """
    initdb = (bin_ / "initdb").resolve()
    about = (initdb, initdb.stat().st_mtime_ns, INITDB_FLAGS, user)
    digest = hashlib.sha256(repr(about).encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyaiot"
    kept = cache / f"postgresql-{digest[:12]}"
    if not kept.exists():
        new = folder / "new"
        command: list[str | Path] = [initdb, "-D", new, *INITDB_FLAGS]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as beside:
            shutil.move(new, beside)
            try:
                (Path(beside) / "new").rename(kept)
            except OSError:  # another process was faster
                if not kept.is_dir():
                    raise
    return kept


class Server:
    """A server that can be stopped and restarted."""

    def __init__(self, folder: Path, bin_: Path, user: dict[str, Any]) -> None:
        self._folder = folder
        self._bin = bin_
        self._user = user
        self.url = f"postgresql://pyaiot:secret@/postgres?host={folder}"
        kept = _kept_cluster(bin_, folder, user)
        subprocess.run(["cp", "--archive", kept, folder / "data"], check=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._folder / "data", "-k", self._folder),
                    *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._user,
            )
        limit = time.monotonic() + START_LIMIT_S
        # The last line has its state (postgres, utils/pidfile.h).
        state = self._folder / "data" / "postmaster.pid"
        while not (state.exists() and state.read_text().rstrip().endswith("ready")):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < limit
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop immediately: connections are aborted."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None


def execute(url: str, statement: str) -> None:
    """Execute one statement. Must not be called in an event loop."""

    async def run() -> None:
        db = await asyncpg.connect(url)
        await db.execute(statement)
        await db.close()

    asyncio.run(run())


def drop_schema(url: str, name: str) -> None:
    """Remove a schema with its tables, if it exists."""
    execute(url, f"DROP SCHEMA IF EXISTS {name} CASCADE")


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Skips the test if PostgreSQL is not installed."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip("not run: PostgreSQL is not installed (apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pyaiot-postgres-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        names = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in names else "nobody"
        shutil.chown(folder, name)
        user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    server = None
    try:
        server = Server(folder, bin_, user)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)
