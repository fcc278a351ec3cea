# SPDX-License-Identifier: BSD-3-Clause
"""The interface of the places where the registry is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pyaiot.errors import PyaiotError
from pyaiot.registry.record import NodeRecord, RecordRow


class RegistryStoreError(PyaiotError):
    """The registry cannot be stored now. The text has the reason; a retry may succeed."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is written in one transaction: removals first."""

    observed: Sequence[RecordRow] = ()
    """Rows of `observed_row`. What people edited stays."""
    edited: Sequence[RecordRow] = ()
    """Rows of `edited_row`. What was observed stays."""
    removed: Sequence[str] = ()
    """Uids."""


class RegistryStore(Protocol):
    """A store in use by one thread at a time. Only this process writes it."""

    name: str
    """For people, without a password."""

    def open(self) -> list[NodeRecord]:
        """Open or create it, and return all records. May be repeated.

        Raises `RegistryStoreError`.
        """
        ...

    def write(self, changes: Changes) -> None:
        """Write the changes; they are on disk when it returns. Raises `RegistryStoreError`."""
        ...

    def close(self) -> None:
        """Close it, if it is open. It may be opened again."""
        ...


def upsert(columns: tuple[str, ...], parameter: str = "?") -> str:
    """A statement that inserts a node, or updates only these columns of it.

    `parameter` is the form of a parameter: `{}` in it is its number.
    """
    names = ("uid", *columns)
    values = ", ".join(parameter.format(n) for n in range(1, len(names) + 1))
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
    return (
        f"INSERT INTO node ({', '.join(names)}) VALUES ({values})"  # noqa: S608 - our constants
        f" ON CONFLICT (uid) DO UPDATE SET {updates}"
    )
