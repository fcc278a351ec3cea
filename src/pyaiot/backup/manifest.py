# SPDX-License-Identifier: BSD-3-Clause
"""The manifest of a backup: what is in the archive, with sizes and checksums. Pure."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError

FORMAT: Final = 1
"""The version of the archive. A higher one is refused."""
MEMBERS_MAX: Final = 1000
"""Members of one archive. An archive with more is not valid."""
MANIFEST_BYTES_MAX: Final = 1_000_000
"""Size of the manifest. A larger one is not valid."""
SIZE_MAX: Final = 1 << 44
"""Bytes of one member (16 TiB). A larger one is not valid."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")


class NewerBackup(ProtocolError):
    """A newer version made the archive."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the archive."""

    name: str
    """The part that it is, or `PART/FILE` if the part is a folder."""
    size: Annotated[int, Meta(ge=0, le=SIZE_MAX)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    schema: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """The version of the schema of a database; 0 for other files."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first file of the archive, as JSON."""

    format: Annotated[int, Meta(ge=1)]
    version: Annotated[str, Meta(max_length=64)]
    """The version of Pyaiot that made it."""
    created_at: float
    """Unix time."""
    members: Annotated[tuple[Member, ...], Meta(max_length=MEMBERS_MAX)]
    left_out: Annotated[tuple[str, ...], Meta(max_length=MEMBERS_MAX)] = ()
    """Sentences about what is not in it, and why."""


def to_bytes(manifest: Manifest) -> bytes:
    """The manifest as JSON for people, too."""
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
