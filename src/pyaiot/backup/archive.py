# SPDX-License-Identifier: BSD-3-Clause
"""The archive of a backup: `tar` with `gzip`, the manifest first, then the members in order.

Any program that reads these formats can read it. Only its owner has access.
"""

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from pyaiot.backup.manifest import (
    MANIFEST_BYTES_MAX,
    Manifest,
    Member,
    NewerBackup,
    from_bytes,
    to_bytes,
)
from pyaiot.errors import OperatorError, ProtocolError, reason_of

MANIFEST: Final = "manifest.json"
_PIECE: Final = 1 << 20
_LEVEL: Final = 6
_DAMAGED: Final = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)


def write_archive(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write a new archive. `files`: the file of each member, by member name. After an error no
    file is left. Raises `OperatorError`.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        # Reserves the name. Not all file systems support a hard link here.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                _write(file, manifest, files)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise OperatorError(f"{path} exists: name another file.") from error
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {reason_of(error)}.") from error


def _write(file: IO[bytes], manifest: Manifest, files: Mapping[str, Path]) -> None:
    with (
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=manifest.created_at) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        text = to_bytes(manifest)
        archive.addfile(_entry(MANIFEST, len(text), manifest), io.BytesIO(text))
        for member in manifest.members:
            with files[member.name].open("rb") as source:
                archive.addfile(_entry(member.name, member.size, manifest), source)


def _entry(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(manifest.created_at)
    return entry


def member_of(name: str, path: Path, schema: int = 0) -> Member:
    """The entry of the manifest for a file. Raises `OSError`."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return Member(name=name, size=size, sha256=digest.hexdigest(), schema=schema)


def read_manifest(path: Path) -> Manifest:
    """The manifest of an archive. Raises `OperatorError`."""
    with _translated_errors(path), _members(path) as (manifest, _):
        return manifest


def extract(path: Path, folder: Path) -> Manifest:
    """Write the members into an empty folder; a part that is a folder becomes a folder. Raises
    `OperatorError` if anything is missing, added or different from the manifest.
    """
    with _translated_errors(path), _members(path) as (manifest, entries):
        for member in manifest.members:
            target = folder / member.name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            name, source = next(entries, ("", None))
            if source is None or name != member.name:
                raise ProtocolError(f"{member.name} is missing")
            _extract(source, target, member)
        if next(entries, None) is not None:
            raise ProtocolError("it has more files than its manifest")
        return manifest


def _extract(source: IO[bytes], target: Path, member: Member) -> None:
    digest = hashlib.sha256()
    size = 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > member.size:
                break
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if size != member.size or digest.hexdigest() != member.sha256:
        raise ProtocolError(f"{member.name} does not match its checksum")


@contextlib.contextmanager
def _members(path: Path) -> Iterator[tuple[Manifest, Iterator[tuple[str, IO[bytes]]]]]:
    """The manifest, then the other members in order. Raises `ProtocolError`, `OSError` and others
    of `_DAMAGED`.
    """
    # `r|`: one pass, without seeking. tarfile extracts nothing itself, so that links and paths in
    # the archive have no effect.
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as archive:

        def entries() -> Iterator[tuple[str, IO[bytes]]]:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is None:
                    raise ProtocolError(f"{entry.name[:64]!r} is not a file")
                yield entry.name, content

        found = entries()
        name, content = next(found, ("", None))
        if name != MANIFEST or content is None:
            raise ProtocolError("it has no manifest")
        yield from_bytes(content.read(MANIFEST_BYTES_MAX + 1)), found


@contextlib.contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except NewerBackup as error:
        raise OperatorError(f"{path} is of a newer version ({error}): update Pyaiot.") from error
    except ProtocolError as error:
        raise OperatorError(f"{path} is not a complete backup of Pyaiot: {error}.") from error
    except _DAMAGED as error:
        raise OperatorError(f"{path} is not a complete backup of Pyaiot: {error}.") from error
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {reason_of(error)}.") from error
