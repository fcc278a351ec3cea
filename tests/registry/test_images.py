# SPDX-License-Identifier: BSD-3-Clause
"""Types and sizes of images, from the bytes that programs write, and from any bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.registry.images import SEGMENTS_MAX, SIDE_MAX, read_image_head


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)


def jpeg(width: int, height: int, *segments: bytes, sof: int = 0xC0) -> bytes:
    size = struct.pack(">BBHBHHB", 0xFF, sof, 17, 8, height, width, 3)
    return b"\xff\xd8" + b"".join(segments) + size + bytes(9)


def webp(kind: bytes, body: bytes) -> bytes:
    return (
        b"RIFF"
        + struct.pack("<I", 4 + 8 + len(body))
        + b"WEBP"
        + kind
        + body[:0]
        + (struct.pack("<I", len(body)) + body)
    )


JFIF = struct.pack(">BBH", 0xFF, 0xE0, 16) + bytes(14)
TABLES = struct.pack(">BBH", 0xFF, 0xC4, 20) + bytes(18)  # DHT is not a frame
IMAGES = {
    "png": (png(640, 480), "image/png"),
    "jpeg": (jpeg(640, 480, JFIF), "image/jpeg"),
    "progressive jpeg, with fill bytes": (
        jpeg(640, 480, JFIF, b"\xff", TABLES, sof=0xC2),
        "image/jpeg",
    ),
    "webp, extended": (
        webp(b"VP8X", bytes(4) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
        "image/webp",
    ),
    "webp, lossless": (
        webp(b"VP8L", b"\x2f" + (639 | 479 << 14).to_bytes(4, "little") + bytes(5)),
        "image/webp",
    ),
    "webp, lossy": (
        webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 640, 480)),
        "image/webp",
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_type_and_size_are_read(name: str) -> None:
    data, kind = IMAGES[name]
    head = read_image_head(data)
    assert (head.type, head.width, head.height) == (kind, 640, 480)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_that_ends_early_is_refused(name: str) -> None:
    data, _ = IMAGES[name]
    for length in range(20):
        with pytest.raises(ProtocolError):
            read_image_head(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a\1\0\1\0",
        b"",
        png(0, 10),
        png(10, SIDE_MAX + 1),
        jpeg(0, 10),
        jpeg(10, 10, *[JFIF] * SEGMENTS_MAX),
        b"\xff\xd8" + struct.pack(">BBH", 0xFF, 0xE0, 0) + bytes(40),
    ],
)
def test_another_type_and_an_impossible_size_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_image_head(data)


@given(st.sampled_from([data for data, _ in IMAGES.values()]), st.binary(max_size=40), st.data())
def test_any_bytes_are_read_or_refused(image: bytes, noise: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(image)))
    try:
        head = read_image_head(image[:at] + noise + image[at:])
    except ProtocolError:
        return
    assert 1 <= head.width <= SIDE_MAX
    assert 1 <= head.height <= SIDE_MAX
