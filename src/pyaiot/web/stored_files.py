# SPDX-License-Identifier: BSD-3-Clause
"""The files of the dashboard, in memory: large ones are compressed while they are read."""

import asyncio
import gzip
import mimetypes
import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of

INDEX: Final = "index.html"
COMPRESSED_FROM: Final = 1024
"""Smallest file that is sent compressed, in bytes."""
PACKED_FROM: Final = 64 * 1024
"""Smallest file that is also held in memory compressed: the editor and the map, which are most of
all bytes and are seldom requested. It takes 8 ms of a start."""
_TYPES: Final = {
    ".avif": "image/avif",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""Types of files that Python does not know in all its versions."""


class StoredFile:
    """A file, in memory."""

    def __init__(self, name: str, body: bytes | mmap.mmap) -> None:
        self.type = media_type(name) or "application/octet-stream"
        """The media type."""
        is_image = self.type.split("/")[0] == "image"
        self.is_compressible = len(body) >= COMPRESSED_FROM and not is_image
        """Whether it is sent compressed to a browser that accepts this."""
        is_packed = self.is_compressible and len(body) >= PACKED_FROM
        self._packed = zlib.compress(body, level=1) if is_packed else b""
        self._plain = b"" if is_packed else bytes(body)
        self._gzip = b""

    @property
    def plain(self) -> bytes:
        """The content."""
        if self._packed:
            return zlib.decompress(self._packed)
        return self._plain or (gzip.decompress(self._gzip) if self._gzip else b"")

    async def compressed(self) -> bytes:
        """The content in the form gzip."""
        if not self._gzip:
            # Once, in a thread: the largest file takes 20 ms.
            self._gzip = await asyncio.to_thread(gzip.compress, self.plain, mtime=0)
            self._packed = b""
        return self._gzip


class BuiltFiles(Mapping[str, bytes]):
    """The contents of files by path."""

    def __init__(self, stored: Mapping[str, StoredFile]) -> None:
        self.stored = stored

    def __getitem__(self, name: str) -> bytes:
        return self.stored[name].plain

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def load_built(static_path: str = "") -> BuiltFiles:
    """The built files; empty if the dashboard is not built. Raises `OperatorError`."""
    if static_path:
        folder = Path(static_path).expanduser()
        try:
            # First: another folder may be as large as the disk.
            if not (folder / INDEX).is_file():
                raise OperatorError(f"dashboard.static_path: {static_path} has no {INDEX}.")
            return BuiltFiles(_files_below(folder))
        except OSError as error:
            raise OperatorError(
                f"dashboard.static_path: {static_path} cannot be read: {reason_of(error)}."
            ) from error
    built = _files_below(Path(__file__).with_name("built"))
    return BuiltFiles(built if INDEX in built else {})


def stored_files(files: Mapping[str, bytes]) -> dict[str, StoredFile]:
    """Files by path, as they are held in memory."""
    if isinstance(files, BuiltFiles):
        return dict(files.stored)
    return {name: StoredFile(name, body) for name, body in files.items()}


def accepts_gzip(headers: Iterable[str]) -> bool:
    """Whether the client of these `Accept-Encoding` headers takes gzip (RFC 9110)."""
    weights: dict[str, str] = {}
    for entry in ",".join(headers).lower().split(","):
        coding, _, weight = entry.replace(" ", "").partition(";q=")
        weights[coding] = weight
    weight = weights.get("gzip", weights.get("*", "0"))
    return weight.strip("0.") != "" or weight == ""


def media_type(name: str) -> str:
    """The media type of a file, the same on every machine; empty if it is unknown."""
    return _TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or ""


def _files_below(folder: Path, prefix: str = "") -> dict[str, StoredFile]:
    if not folder.is_dir():
        return {}
    found: dict[str, StoredFile] = {}
    for item in folder.iterdir():
        if item.name.startswith("."):
            continue
        name = prefix + item.name
        if item.is_dir():
            found |= _files_below(item, f"{name}/")
        elif item.stat().st_size < PACKED_FROM:
            found[name] = StoredFile(name, item.read_bytes())
        else:
            # Not read into memory, which would stay larger.
            with (
                item.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as it,
            ):
                found[name] = StoredFile(name, it)
    return found
