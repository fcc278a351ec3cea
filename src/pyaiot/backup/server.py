# SPDX-License-Identifier: BSD-3-Clause
"""Copies the registry of a PostgreSQL server to a file for an archive, and back."""

from pathlib import Path

from pyaiot.errors import OperatorError
from pyaiot.registry.documents import Document
from pyaiot.registry.postgres import PostgresStore, read_registry
from pyaiot.registry.record import NodeRecord, edited_row, observed_row
from pyaiot.registry.sqlite import SqliteStore
from pyaiot.registry.store import Changes, RegistryStoreError


def registry_to_file(url: str, path: Path) -> None:
    """Copy the registry of a server into a new file, even while it is in use. Raises
    `OperatorError`.
    """
    store = SqliteStore(path)
    try:
        records, documents = read_registry(url)
        store.open()
        store.write(_changes(records, documents))
    except RegistryStoreError as error:
        raise OperatorError(f"The registry cannot be copied: {error}.") from error
    finally:
        store.close()
        path.with_name(path.name + ".lock").unlink(missing_ok=True)


def registry_from_file(path: Path, url: str) -> None:
    """Replace the registry of a server, in one transaction. Raises `OperatorError`."""
    source, target = SqliteStore(path), PostgresStore(url)
    try:
        records, documents = source.open(), source.documents()
        replaced = [record.uid for record in target.open()]
        gone: list[Document] = [(kind, key, None) for kind, key, _ in target.documents()]
        target.write(_changes(records, [*gone, *documents], removed=replaced))
    except RegistryStoreError as error:
        raise OperatorError(f"The registry cannot be restored: {error}.") from error
    finally:
        source.close()
        target.close()


def _changes(
    records: list[NodeRecord], documents: list[Document], removed: list[str] | None = None
) -> Changes:
    return Changes(
        observed=[(*observed_row(it), it.values.decode()) for it in records],
        edited=[edited_row(it) for it in records],
        removed=removed or (),
        documents=documents,
    )
