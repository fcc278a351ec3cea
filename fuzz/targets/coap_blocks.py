# SPDX-License-Identifier: BSD-3-Clause
"""Block options of peers, in any order: each input is a script of blocks."""

import contextlib
from collections.abc import Iterator

from pyaiot.errors import ProtocolError, Refused
from pyaiot.protocols.coap.blocks import (
    ASSEMBLIES_PER_PEER_MAX,
    BODY_BYTES_MAX,
    Assemblies,
    Download,
    Upload,
)

CORPUS: list[bytes] = [
    b"\x01\x08\x10" + b"\x01\x18\x10" + b"\x01\x20\x05",
    b"\x01\x0e\xff" + b"\x02\x00\x0e\xff",
    b"\x00\x10" + b"\x03\xff\xff\xff\x00",
    b"",
]


def _steps(data: bytes) -> Iterator[tuple[bytes | None, bytes]]:
    """A length, that many bytes of an option (none for a length over 3), and a size in 4 bytes."""
    while len(data) > 1:
        length = data[0] % 5
        option = data[1 : 1 + length] if length < 4 else None
        data = data[1 + length :]
        yield option, b"x" * (data[0] * 4 if data else 0)
        data = data[1:]


def fuzz_one(data: bytes) -> None:
    """No script exceeds the limits or raises an error other than those of peers."""
    assemblies = Assemblies(3)
    download, upload = Download(), Upload(b"y" * 3000)
    for index, (option, payload) in enumerate(_steps(data)):
        if option is not None:
            with contextlib.suppress(ProtocolError):
                peer = len(payload) % 3
                taken = assemblies.receive_block(peer, index % 2, option, payload, now=float(index))
                assert taken.body is None or len(taken.body) <= BODY_BYTES_MAX
            assert len(assemblies) <= min(3, 3 * ASSEMBLIES_PER_PEER_MAX)
        with contextlib.suppress(ProtocolError, Refused):
            download.add(option, None, payload)
        with contextlib.suppress(ProtocolError):
            upload.receive_response(0x5F if len(payload) % 2 else 0x8D, option)
        block, piece = upload.block()
        assert len(piece) <= block.size
