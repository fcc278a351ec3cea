# SPDX-License-Identifier: BSD-3-Clause
"""A PostgreSQL database as a store."""

import secrets

from pyaiot.history.postgres.reader import PostgresReader
from pyaiot.history.postgres.writer import PostgresWriter
from pyaiot.history.store import RetentionPolicy
from pyaiot.postgres import without_password


class PostgresServer:
    """A `Store` in the schema `pyaiot` of a database.

    The server refuses a second writer, unless all writers are brokers of a cluster.
    """

    def __init__(self, url: str, keep: RetentionPolicy, *, is_shared: bool = False) -> None:
        """`is_shared`: other brokers write the same database."""
        self.name = without_password(url, "--history")
        self._url = url
        self._keep = keep
        self._is_shared = is_shared
        self._run = secrets.token_hex(8)

    def claim(self) -> None:
        """Does nothing: the server may start later than this process, so it is locked when it is
        opened."""

    def release(self) -> None: ...

    def open_writer(self) -> PostgresWriter:
        """Raises `StoreError`."""
        return PostgresWriter(
            self._url, self.name, self._keep, run=self._run, is_shared=self._is_shared
        )

    def history(self) -> PostgresReader:
        return PostgresReader(self._url, self.name)
