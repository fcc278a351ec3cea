# SPDX-License-Identifier: BSD-3-Clause
"""The manifest of a backup: the contents of the archive, with sizes and checksums. Pure."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError

FORMAT: Final = 1
"""Version of the archive format. Archives with a higher version are refused."""
MEMBERS_MAX: Final = 1000
"""Largest number of members of one archive. An archive with more is invalid."""
MANIFEST_BYTES_MAX: Final = 1_000_000
"""Largest size of the manifest in bytes. A larger one is invalid."""
SIZE_MAX: Final = 1 << 44
"""Largest size of one member in bytes (16 TiB). A larger one is invalid."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")


class NewerBackup(ProtocolError):
    """A newer version of Pyaiot made the archive."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the archive."""

    name: str
    """Name of the part, or `PART/FILE` if the part is a folder."""
    size: Annotated[int, Meta(ge=0, le=SIZE_MAX)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    schema: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Schema version of a database; 0 for other files."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first file of the archive, as JSON."""

    format: Annotated[int, Meta(ge=1)]
    version: Annotated[str, Meta(max_length=64)]
    """Version of Pyaiot that made it."""
    created_at: float
    """Unix time."""
    members: Annotated[tuple[Member, ...], Meta(max_length=MEMBERS_MAX)]
    left_out: Annotated[tuple[str, ...], Meta(max_length=MEMBERS_MAX)] = ()
    """Sentences about parts that the archive does not contain, with the reason."""


def to_bytes(manifest: Manifest) -> bytes:
    """The manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


def from_bytes(data: bytes) -> Manifest:
    """Read a manifest. Raises `NewerBackup` or `ProtocolError`."""
    if len(data) > MANIFEST_BYTES_MAX:
        raise ProtocolError("its manifest is too large")
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise NewerBackup(f"Pyaiot {head.version[:64]!r} made it")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("its manifest is damaged") from error
    names = [member.name for member in manifest.members]
    for name in names:
        if not _NAME.fullmatch(name) or ".." in name:
            raise ProtocolError(f"its manifest names a file {name[:64]!r}")
    if len(set(names)) < len(names):
        raise ProtocolError("its manifest names a file twice")
    return manifest


class _Head(msgspec.Struct):
    format: Annotated[int, Meta(ge=1)]
    version: str = ""
