# SPDX-License-Identifier: BSD-3-Clause
"""Creates a backup of a system, even while it runs."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pyaiot import __version__
from pyaiot.backup.archive import member_of, write_archive
from pyaiot.backup.database import check_database, copy_database, schema_of
from pyaiot.backup.manifest import FORMAT, MEMBERS_MAX, Manifest, Member
from pyaiot.backup.parts import ACCOUNTS, HISTORY, Part
from pyaiot.errors import OperatorError, reason_of
from pyaiot.redaction import redact

_LOCK: Final = "lock"
"""Name of the lock file in a folder."""
_DUMPED: Final = {
    HISTORY: ("history: it is", "pyaiot"),
    ACCOUNTS: ("accounts and audit log: they are", "'pyaiot_*'"),
}
"""Parts in PostgreSQL that are left to `pg_dump`, with their schemas."""


class Copied(msgspec.Struct, frozen=True):
    """The copied parts, and sentences about what was not copied."""

    members: list[Member]
    files: dict[str, Path]
    left_out: list[str]


def create_backup(
    found: Sequence[Part],
    target: Path,
    *,
    unix_time: Callable[[], float],
    with_history: bool = True,
) -> Manifest:
    """Write the archive and return its manifest. Raises `OperatorError`.

    Each database is copied as a consistent snapshot, one after the other.
    """
    if target.exists():
        raise OperatorError(f"{target} exists: name another file.")
    if not target.parent.is_dir():
        raise OperatorError(f"There is no folder {target.parent}.")
    created_at = unix_time()
    try:
        # Beside the archive, because the temporary folder of the system may be small or in memory.
        with tempfile.TemporaryDirectory(prefix=".pyaiot-backup-", dir=target.parent) as name:
            copied = _copy(found, Path(name), with_history=with_history)
            if not copied.members:
                raise OperatorError(
                    "There is nothing to back up: Pyaiot has stored nothing yet where the settings"
                    " point to (aiot config --show)."
                )
            manifest = Manifest(
                format=FORMAT,
                version=__version__,
                created_at=created_at,
                members=tuple(copied.members),
                left_out=tuple(copied.left_out),
            )
            write_archive(target, manifest, copied.files)
            return manifest
    except OSError as error:
        raise OperatorError(f"{target} cannot be written: {reason_of(error)}.") from error


def _copy(found: Iterable[Part], folder: Path, *, with_history: bool) -> Copied:
    copied = Copied([], {}, [])
    for part in found:
        if part.name == HISTORY and not with_history:
            copied.left_out.append("history: left out on request")
        elif part.kind == "server":
            _copy_server(part, folder, copied)
        elif part.kind == "folder":
            _copy_folder(part, folder, copied)
        elif part.path.is_file():
            _copy_file(part, folder, copied)
    return copied


def _copy_file(part: Part, folder: Path, copied: Copied) -> None:
    copy = folder / part.name
    if part.kind == "database":
        copy_database(part.path, copy)
        _add(copied, part.name, copy, schema_of(copy, part))
    else:
        _copy_bytes(part.path, copy)
        _add(copied, part.name, copy)


def _copy_folder(part: Part, folder: Path, copied: Copied) -> None:
    if not part.path.is_dir():
        return
    (folder / part.name).mkdir(mode=0o700)
    for path in sorted(part.path.iterdir()):
        # Files that are being written are named with a dot at the start.
        is_content = not path.name.startswith(".") and path.name != _LOCK
        if not is_content or not stat.S_ISREG(path.lstat().st_mode):
            continue
        if len(copied.members) >= MEMBERS_MAX - 100:
            copied.left_out.append(f"{part.name}: {path.name}, and what follows it")
            return
        copy = folder / part.name / path.name
        _copy_bytes(path, copy)
        _add(copied, f"{part.name}/{path.name}", copy)


def _copy_server(part: Part, folder: Path, copied: Copied) -> None:
    if part.name in _DUMPED:
        what, schemas = _DUMPED[part.name]
        copied.left_out.append(
            f"{what} in PostgreSQL: pg_dump --schema={schemas} -f FILE {redact(part.url)}"
        )
        return
    from pyaiot.backup.server import registry_to_file  # noqa: PLC0415 - PostgreSQL

    copy = folder / part.name
    registry_to_file(part.url, copy)
    check_database(copy, part)
    _add(copied, part.name, copy, schema_of(copy, part))


def _copy_bytes(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as file:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(file, copy)
    except OSError as error:
        raise OperatorError(f"{source} cannot be copied: {reason_of(error)}.") from error


def _add(copied: Copied, name: str, copy: Path, schema: int = 0) -> None:
    copied.members.append(member_of(name, copy, schema))
    copied.files[name] = copy
