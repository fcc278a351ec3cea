# SPDX-License-Identifier: BSD-3-Clause
"""Restores a backup.

Everything is unpacked and checked first; then files are renamed. The previous files are kept in
folders `before-restore-…` beside the restored ones.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from pyaiot.backup.archive import extract
from pyaiot.backup.database import check_database
from pyaiot.backup.journal import Step, carry_out, check_not_restoring
from pyaiot.backup.manifest import Manifest, Member
from pyaiot.backup.parts import AUDIT, SETTINGS, Part
from pyaiot.errors import OperatorError, reason_of

STAGED: Final = ".restoring"
"""Name of a folder beside each target, on the same file system, so that a rename is sufficient."""
_BESIDE_DATABASE: Final = ("-wal", "-shm", "-journal")


class Restored(msgspec.Struct, frozen=True):
    """The result of a restore."""

    manifest: Manifest
    names: tuple[str, ...]
    """Members that were restored."""
    kept: tuple[Path, ...]
    """Folders with the previous files."""


@contextlib.contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[tuple[Manifest, Path]]:
    """Context manager: the manifest and the files of an archive, in a temporary folder inside
    `folder`. Raises `OperatorError`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".pyaiot-restore-", dir=folder)
    except OSError as error:
        raise OperatorError(f"{folder} cannot be written: {reason_of(error)}.") from error
    try:
        yield extract(archive, Path(temporary)), Path(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_parts(manifest: Manifest, files: Path, found: Sequence[Part]) -> None:
    """Raises `OperatorError` unless this program can use every part of an unpacked archive."""
    by_name = {part.name: part for part in found}
    for member in manifest.members:
        part = by_name.get(member.name)
        if part is not None and part.kind in ("database", "server"):
            check_database(files / member.name, part)


def restore_parts(
    manifest: Manifest,
    files: Path,
    found: Sequence[Part],
    folder: Path,
    now: float,
    *,
    with_settings: bool = True,
) -> Restored:
    """Move the parts of an unpacked archive to their places, all or none. `folder`: the data
    folder. The system must be stopped. Raises `OperatorError`.
    """
    check_not_restoring(folder)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    restoring = [
        (part, member)
        for part in found
        for member in _members_of(part, manifest)
        if with_settings or part.name != SETTINGS
    ]
    steps: list[Step] = []
    try:
        for part, member in restoring:
            if part.kind != "server":
                try:
                    steps += _stage(part, member, files, stamp)
                except PermissionError as error:
                    hint = " (--keep-settings leaves it out)" if part.name == SETTINGS else ""
                    raise OperatorError(
                        f"Nothing was restored: {part.path} cannot be written{hint}."
                    ) from error
        for part, member in restoring:
            if part.kind == "server":
                _restore_server(part, files / member.name)
        carry_out(folder, steps)
    except OSError as error:
        raise OperatorError(
            f"Nothing was restored: {error.filename}: {reason_of(error)}."
        ) from error
    finally:
        # Also those that were renamed, whose folder is empty.
        for parent in {Path(step.staged).parent for step in steps if step.staged}:
            if not (folder / "restore.journal").exists():
                shutil.rmtree(parent, ignore_errors=True)
    kept = {Path(step.kept).parent for step in steps}
    return Restored(
        manifest,
        tuple(member.name for _, member in restoring),
        tuple(sorted(path for path in kept if path.exists())),
    )


def _members_of(part: Part, manifest: Manifest) -> list[Member]:
    if part.kind != "folder":
        return [member for member in manifest.members if member.name == part.name]
    if part.name == AUDIT and part.path.is_dir() and any(part.path.iterdir()):
        return []  # what was done since the backup stays on record
    return [member for member in manifest.members if member.name.startswith(part.name + "/")]


def _stage(part: Part, member: Member, files: Path, stamp: str) -> Iterator[Step]:
    """Copy a file beside its target, and yield the remaining renames. Raises `OSError`."""
    target = part.path
    if part.kind == "folder":
        target = part.path / member.name.partition("/")[2]
    _make_folder(target.parent)
    staged = target.parent / STAGED / target.name
    staged.parent.mkdir(mode=0o700, exist_ok=True)
    staged.unlink(missing_ok=True)
    shutil.copyfile(files / member.name, staged)
    # Settings may be readable by a service user that does not own them.
    keeps_mode = part.name == SETTINGS and target.exists()
    staged.chmod(target.stat().st_mode & 0o644 if keeps_mode else 0o600)
    _give_to_owner(staged, target)
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    kept = target.parent / f"before-restore-{stamp}"
    if part.kind == "database":
        for suffix in _BESIDE_DATABASE:
            beside = target.name + suffix
            yield Step(str(target.with_name(beside)), str(kept / beside))
    yield Step(str(target), str(kept / target.name), str(staged))


def _make_folder(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700)
        _give_to_owner(path, path)


def _give_to_owner(path: Path, target: Path) -> None:
    """Make the user of the service the owner of files that root restored."""
    if os.geteuid() != 0:
        return
    status = target.stat() if target.exists() and target != path else target.parent.stat()
    os.chown(path, status.st_uid, status.st_gid)


def _restore_server(part: Part, file: Path) -> None:
    from pyaiot.backup.server import registry_from_file  # noqa: PLC0415 - PostgreSQL

    registry_from_file(file, part.url)
