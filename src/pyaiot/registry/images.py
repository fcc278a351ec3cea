# SPDX-License-Identifier: BSD-3-Clause
"""Reads format and dimensions of an image from its first bytes, without decoding it. Pure."""

from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError

SIDE_MAX: Final = 8192
"""Largest width and height of an image, in pixels. Larger images are refused, because a browser
would need too much memory.
"""
SEGMENTS_MAX: Final = 256
"""Largest number of JPEG segments before the one with the dimensions. Images with more are
refused.
"""

ImageType: TypeAlias = Literal["image/png", "image/jpeg", "image/webp"]
"""SVG is not accepted: it is a document that can contain scripts."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF markers: all of 0xCn but DHT, JPG and DAC (ITU-T T.81, table B.1)."""
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length: TEM, RSTn."""


class ImageHead(msgspec.Struct, frozen=True):
    """The type and size from the first bytes of an image."""

    type: ImageType
    width: int
    """Pixels."""
    height: int


def read_image_head(data: bytes) -> ImageHead:
    """Raises `ProtocolError` if it is not a PNG, JPEG or WebP image, or is too large."""
    head: ImageHead | None = None
    if data.startswith(_PNG):
        head = _png(data)
    elif data.startswith(b"\xff\xd8"):
        head = _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        head = _webp(data)
    if head is None:
        raise ProtocolError("the image must be PNG, JPEG or WebP")
    if not (0 < head.width <= SIDE_MAX and 0 < head.height <= SIDE_MAX):
        raise ProtocolError(f"a side of the image must have 1 to {SIDE_MAX} pixels")
    return head


def _png(data: bytes) -> ImageHead | None:
    # The first chunk is IHDR (PNG specification, 11.2.1).
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    return ImageHead("image/png", _big(data[16:20]), _big(data[20:24]))


def _jpeg(data: bytes) -> ImageHead | None:
    at = 2
    for _ in range(SEGMENTS_MAX):
        while data[at : at + 2] == b"\xff\xff":  # fill bytes (B.1.1.2)
            at += 1
        if at + 2 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        at += 2
        if marker in _JPEG_ALONE:
            continue
        length = _big(data[at : at + 2])
        if marker in _JPEG_SIZES:
            if at + 7 > len(data):
                return None
            return ImageHead("image/jpeg", _big(data[at + 5 : at + 7]), _big(data[at + 3 : at + 5]))
        if length < 2:
            return None
        at += length
    return None


def _webp(data: bytes) -> ImageHead | None:
    # RFC 9649 section 2.5 to 2.7: the first chunk is VP8, VP8L or VP8X.
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return ImageHead("image/webp", 1 + _little(body[4:7]), 1 + _little(body[7:10]))
    if kind == b"VP8L" and body[0] == 0x2F:
        bits = _little(body[1:5])
        return ImageHead("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return ImageHead("image/webp", _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF)
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
