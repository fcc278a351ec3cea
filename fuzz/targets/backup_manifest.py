# SPDX-License-Identifier: BSD-3-Clause
"""Manifests and archives of backups."""

import io
import tarfile
import tempfile
from pathlib import Path

from pyaiot.backup.archive import extract
from pyaiot.backup.manifest import Manifest, Member, from_bytes, to_bytes
from pyaiot.errors import OperatorError, ProtocolError

_MANIFEST = to_bytes(
    Manifest(
        format=1,
        version="0.1.0",
        created_at=1_800_000_000.0,
        members=(Member(name="keys", size=2, sha256="0" * 64),),
    )
)


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=0) as archive:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(_MANIFEST)
        archive.addfile(entry, io.BytesIO(_MANIFEST))
    return packed.getvalue()


CORPUS: list[bytes] = [
    _MANIFEST,
    _archive(),
    b'{"format":2,"version":"9"}',
    b'{"format":1,"version":"0","created_at":0,"members":[]}',
    b"[]",
    b"",
]


def fuzz_one(data: bytes) -> None:
    """A manifest is read or refused; a file that is not an archive is refused with a sentence."""
    try:
        manifest = from_bytes(data)
    except ProtocolError:
        pass
    else:
        assert from_bytes(to_bytes(manifest)) == manifest
        assert all(".." not in member.name for member in manifest.members)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "archive"
        path.write_bytes(data)
        try:
            extract(path, Path(name) / "out")
        except OperatorError as error:
            assert str(path) in str(error)  # noqa: PT017 - not a test
