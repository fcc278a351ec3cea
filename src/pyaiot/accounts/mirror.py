# SPDX-License-Identifier: BSD-3-Clause
"""An in-memory copy of the accounts that the brokers of a cluster share in a database.

A row has a kind, a key that is unique for the kind, and a body: a JSON object of its columns, or
None if the row was removed. Unknown columns are ignored and missing ones have their default, so
that brokers of two versions can share rows.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from pyaiot.accounts.store import AccountsFile
from pyaiot.errors import OperatorError

AccountRow: TypeAlias = tuple[str, str, str | None]

_KEYS: Final = {
    "token": "name",
    "user": "name",
    "session": "digest",
    "invitation": "digest",
    "gateway_token": "digest",
}
"""The key column of each table."""


class AccountsMirror(AccountsFile):
    """Reads are answered from memory. Changes require `transaction`, and its changed rows must be
    stored. Every method raises `OperatorError`, also until `load` was called.
    """

    problem = ""
    """Why there are no accounts yet; empty when they are loaded."""

    def __init__(self) -> None:
        super().__init__(None)
        self._columns = {
            table: [name for _, name, *_ in self._db.execute(f"PRAGMA table_info({table})")]
            for table in _KEYS
        }
        self._db.execute(
            "CREATE TEMP TABLE changed (kind TEXT, key, PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        for table, key in _KEYS.items():
            for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                self._db.execute(
                    f"CREATE TEMP TRIGGER {table}_{event} AFTER {event} ON main.{table} BEGIN"  # noqa: S608
                    f" INSERT OR IGNORE INTO changed VALUES ('{table}', {row}.{key}); END"
                )
        self._db.execute("PRAGMA query_only = ON")
        self.problem = "The accounts are not loaded yet."

    def load(self, rows: Iterable[AccountRow]) -> None:
        """Replace all rows with those of the database."""
        before, self.problem = self.problem, ""
        try:
            with self.transaction():
                for table in _KEYS:
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our constants
                self._apply(rows)
        except OperatorError:
            self.problem = before
            raise

    def apply(self, rows: Iterable[AccountRow]) -> None:
        """Apply changed rows, in the order in which they changed."""
        with self.transaction():
            self._apply(rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Context manager that allows changes. They are rolled back if the block raises."""
        with self._translated_errors():
            self._db.execute("PRAGMA query_only = OFF")
            try:
                with self._db:
                    self._db.execute("BEGIN")
                    self._db.execute("DELETE FROM changed")
                    yield
            finally:
                self._db.execute("PRAGMA query_only = ON")

    def changed_rows(self) -> list[AccountRow]:
        """The rows that the current transaction has changed so far."""
        found: list[AccountRow] = []
        for table, column in _KEYS.items():
            names = self._columns[table]
            rows = self._db.execute(
                f"SELECT changed.key, {', '.join(f'its.{name}' for name in names)} FROM changed"  # noqa: S608
                f" LEFT JOIN {table} AS its ON its.{column} = changed.key WHERE kind = ?",
                (table,),
            )
            for key, *values in rows:
                body = dict(zip(names, values, strict=True))
                is_gone = body[column] is None
                found.append((table, _text(key), None if is_gone else _to_body(body)))
        return found

    def _apply(self, rows: Iterable[AccountRow]) -> None:
        for table, key, body in rows:
            if table not in _KEYS:
                continue  # of a newer version
            if body is None:
                column = _KEYS[table]
                value = bytes.fromhex(key) if column == "digest" else key
                self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608
                continue
            values = _from_body(body)
            names = [name for name in self._columns[table] if name in values]
            self._db.execute(
                f"INSERT OR REPLACE INTO {table} ({', '.join(names)})"  # noqa: S608 - ours
                f" VALUES ({', '.join('?' * len(names))})",
                [values[name] for name in names],
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        # The caller of `transaction` decides whether all of it takes effect.
        with self._translated_errors():
            yield

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        if self.problem:
            raise OperatorError(self.problem)
        with super()._translated_errors():
            yield


def _text(key: str | bytes) -> str:
    return key.hex() if isinstance(key, bytes) else key


def _to_body(columns: dict[str, Any]) -> str:
    return _encode(
        {name: _text(value) if name == "digest" else value for name, value in columns.items()}
    ).decode()


def _from_body(body: str) -> dict[str, Any]:
    """Raises `OperatorError` for a row that no version has written."""
    try:
        values: dict[str, Any] = dict(_decode(body))
        if "digest" in values:
            values["digest"] = bytes.fromhex(str(values["digest"]))
    except (msgspec.MsgspecError, ValueError) as error:
        raise OperatorError("A row of the accounts in the database cannot be read.") from error
    return values


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, str | int | float | None]).decode
