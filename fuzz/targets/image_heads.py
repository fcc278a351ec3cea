# SPDX-License-Identifier: BSD-3-Clause
"""The first bytes of uploaded images of floor plans."""

from pyaiot.errors import ProtocolError
from pyaiot.registry.images import SIDE_MAX, read_image_head

CORPUS: list[bytes] = [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\x80\0\0\1\xe0\x08\2\0\0\0",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08\0\xf0\1\x40\3",
    b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\2\0\xdf\1\0",
    b"RIFF\x24\0\0\0WEBPVP8L\x0a\0\0\0\x2f\x7f\xc2\x77\0\0\0\0\0\0",
    b"RIFF\x24\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\1\x2a\x80\2\xe0\1",
]


def fuzz_one(data: bytes) -> None:
    """An image is refused, or has a size within the limit."""
    try:
        head = read_image_head(data)
    except ProtocolError:
        return
    assert 1 <= head.width <= SIDE_MAX
    assert 1 <= head.height <= SIDE_MAX
