# SPDX-License-Identifier: BSD-3-Clause
"""UDP datagrams as a pcapng file, with names and comments, for Wireshark. Pure.

The format is draft-ietf-opsawg-pcapng. A file is a section header, an interface, and then names and
packets in any order. Packets are raw IP: the headers of a datagram are reconstructed as they were
on the wire, except for what the socket does not report (hop limit, flow label, fragments).
"""

import ipaddress
import struct
from typing import Final, NamedTuple

COMMENT_BYTES_MAX: Final = 400
"""Longest comment and name, in bytes. Longer ones are cut."""

_SECTION, _INTERFACE, _NAMES, _PACKET = 0x0A0D0D0A, 1, 4, 6
_BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
_LINKTYPE_RAW: Final = 101
_COMMENT, _FLAGS, _APPLICATION, _INTERFACE_NAME = 1, 2, 4, 2
_INBOUND, _OUTBOUND = 1, 2
_RECORD_IPV4, _RECORD_IPV6 = 1, 2
_UDP: Final = 17
_HOP_LIMIT: Final = 64


class PacketEndpoint(NamedTuple):
    """An IP address as text, without a zone, and a UDP port."""

    host: str
    port: int


def file_header(application: str, interface: str) -> bytes:
    """The start of a file."""
    section = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1)
    return _block(_SECTION, section + _options((_APPLICATION, application.encode()))) + _block(
        _INTERFACE,
        struct.pack("<HHI", _LINKTYPE_RAW, 0, 0) + _options((_INTERFACE_NAME, _text(interface))),
    )


def name(host: str, called: str) -> bytes:
    """A block that names an address for the packets after it."""
    address = ipaddress.ip_address(host).packed
    kind = _RECORD_IPV4 if len(address) == 4 else _RECORD_IPV6
    value = address + _text(called).replace(b"\0", b"") + b"\0"
    record = struct.pack("<HH", kind, len(value)) + _padded(value)
    return _block(_NAMES, record + struct.pack("<HH", 0, 0))


def packet(
    at: float,
    source: PacketEndpoint,
    destination: PacketEndpoint,
    datagram: bytes,
    *,
    comment: str = "",
    inbound: bool,
) -> bytes:
    """A block for a datagram that was received or sent at `at`, Unix time in seconds."""
    data = _ip(source, destination, datagram)
    microseconds = round(at * 1e6)
    head = struct.pack(
        "<IIIII", 0, microseconds >> 32, microseconds & 0xFFFFFFFF, len(data), len(data)
    )
    options = [(_FLAGS, struct.pack("<I", _INBOUND if inbound else _OUTBOUND))]
    if comment:
        options.insert(0, (_COMMENT, _text(comment)))
    return _block(_PACKET, head + _padded(data) + _options(*options))


def _ip(source: PacketEndpoint, destination: PacketEndpoint, datagram: bytes) -> bytes:
    """IP and UDP around the datagram (RFC 768, RFC 791, RFC 8200)."""
    addresses = [ipaddress.ip_address(item.host) for item in (source, destination)]
    if addresses[0].version != addresses[1].version:
        # The socket did not report the local address: use the unspecified one.
        wanted = 6 if 6 in (addresses[0].version, addresses[1].version) else 4
        addresses = [
            item if item.version == wanted else ipaddress.ip_address("::") for item in addresses
        ]
    packed = addresses[0].packed + addresses[1].packed
    length = 8 + len(datagram)
    pseudo = packed + struct.pack(">IHH", length, 0, _UDP)
    udp = struct.pack(">HHHH", source.port, destination.port, length & 0xFFFF, 0)
    checksum = _checksum(pseudo + udp + datagram) or 0xFFFF
    udp = udp[:6] + struct.pack(">H", checksum) + datagram
    if addresses[0].version == 6:
        return struct.pack(">IHBB", 6 << 28, length & 0xFFFF, _UDP, _HOP_LIMIT) + packed + udp
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length & 0xFFFF, 0, 0, _HOP_LIMIT, _UDP, 0)
    checksum = _checksum(head + packed)
    return head[:10] + struct.pack(">H", checksum) + packed + udp


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def _options(*options: tuple[int, bytes]) -> bytes:
    written = (struct.pack("<HH", number, len(value)) + _padded(value) for number, value in options)
    return b"".join(written) + struct.pack("<HH", 0, 0)


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (-len(value) % 4)


def _text(text: str) -> bytes:
    """UTF-8, cut at a character boundary."""
    return text.encode(errors="replace")[:COMMENT_BYTES_MAX].decode(errors="ignore").encode()
