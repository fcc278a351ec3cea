# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a system that a backup contains, and their paths according to the settings.

A backup does not contain what would do harm as an older copy, or is of no use: sequence numbers of
OSCORE and used tokens of gateways (a copy would allow replay), the store of the embedded MQTT
broker, idempotency keys, registrations at gateways, and sessions of commands.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.accounts import database as accounts
from pyaiot.accounts import device_file as devices
from pyaiot.accounts.devices import FILE_NAME as DEVICES_FILE
from pyaiot.accounts.devices import KEY_PAIR_FILE
from pyaiot.accounts.store import FILE_NAME as ACCOUNTS_FILE
from pyaiot.config import Config, data_folder, settings

PartKind: TypeAlias = Literal["file", "folder", "database", "server"]

HISTORY: Final = "history"
REGISTRY: Final = "registry"
SETTINGS: Final = "settings"
ACCOUNTS: Final = "accounts"
"""In the database of a cluster: with the audit log."""
AUDIT: Final = "audit"
_POSTGRES: Final = re.compile(r"postgres(ql)?://")


class Part(msgspec.Struct, frozen=True):
    """A part of a system: a file, a folder of files, a database file, or a PostgreSQL database."""

    name: str
    kind: PartKind
    path: Path
    """Path of the part; for a PostgreSQL database a path that does not exist."""
    url: str = ""
    """URL of a PostgreSQL database."""
    application_id: int = 0
    """Application id of a database file."""
    schema: int = 0
    """Schema version that this program uses, for a database."""


def parts(config: Config, environ: Mapping[str, str], config_file: Path) -> list[Part]:
    """All parts of a system with these settings, whether they exist or not."""
    # Imported here, because each module loads a database library.
    from pyaiot.history.sqlite import schema as history  # noqa: PLC0415
    from pyaiot.registry import sqlite as registry  # noqa: PLC0415

    folder = data_folder(environ)
    found = [Part(SETTINGS, "file", config_file)]
    if config.alerts.file:
        found.append(Part("alerts", "file", _expanded(config.alerts.file)))
    if config.broker.key_file != "off":
        found.append(Part("keys", "file", _expanded(config.broker.key_file)))
    found += _named_files(config)
    found.append(Part("tls", "folder", folder / "tls"))
    shared = _database_of_cluster(config)
    if shared:
        found.append(Part(ACCOUNTS, "server", folder / "accounts.none", shared))
    else:
        path = folder / ACCOUNTS_FILE
        found.append(_database(ACCOUNTS, path, accounts.APPLICATION_ID, accounts.MIGRATIONS))
    if config.devices.file != "off":
        path = _expanded(config.devices.file) if config.devices.file else folder / DEVICES_FILE
        found.append(_database("devices", path, devices.APPLICATION_ID, devices.MIGRATIONS))
        found.append(Part("devices-key", "file", path.with_name(KEY_PAIR_FILE)))
    if config.audit.folder != "off" and not shared:
        path = _expanded(config.audit.folder) if config.audit.folder else folder / "audit"
        found.append(Part(AUDIT, "folder", path))
    store = config.registry.store
    if not store and _POSTGRES.match(config.history.store):
        store = config.history.store
    found += _store(REGISTRY, store, folder, registry.APPLICATION_ID, len(registry.MIGRATIONS))
    store = config.history.store
    found += _store(HISTORY, store, folder, history.APPLICATION_ID, len(history.MIGRATIONS))
    return found


def _database_of_cluster(config: Config) -> str:
    """As the brokers find it; empty: accounts and audit log are files."""
    if not config.cluster.is_on:
        return ""
    stores = (config.cluster.database, config.registry.store, config.history.store)
    return next(filter(_POSTGRES.match, stores), "")


def _store(
    name: str, location: str, folder: Path, application_id: int, schema: int
) -> Iterator[Part]:
    if location == "off":
        return
    if _POSTGRES.match(location):
        yield Part(name, "server", folder / f"{name}.none", location, application_id, schema)
        return
    path = _expanded(location) if location else folder / f"{name}.db"
    yield Part(name, "database", path, "", application_id, schema)


def _database(name: str, path: Path, application_id: int, migrations: tuple[object, ...]) -> Part:
    return Part(name, "database", path, "", application_id, len(migrations))


def _named_files(config: Config) -> Iterator[Part]:
    """Files with passwords and tokens that the settings refer to."""
    for setting in settings():
        if not setting.name.endswith(("password_file", "token_file", "credentials_file")):
            continue
        if value := config.value(setting):
            name = setting.key.replace(".", "-").replace("_", "-")
            yield Part(name, "file", _expanded(value))


def _expanded(path: str) -> Path:
    return Path(path).expanduser()
