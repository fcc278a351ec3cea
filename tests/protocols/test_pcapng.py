# SPDX-License-Identifier: BSD-3-Clause
"""Trace files, read back by a reader that is not ours."""

import io
import struct
from typing import Any

import pcapng
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pcapng import blocks

from pyaiot.protocols.pcapng import COMMENT_BYTES_MAX, PacketEndpoint, file_header, name, packet

AT = 1_700_000_000.25
NODE = PacketEndpoint("10.0.0.7", 49152)
GATEWAY = PacketEndpoint("10.0.0.1", 5683)


def read(*written: bytes) -> list[Any]:
    return list(pcapng.FileScanner(io.BytesIO(file_header("Pyaiot", "coap") + b"".join(written))))


def one(*written: bytes) -> Any:
    (found,) = [item for item in read(*written) if isinstance(item, blocks.EnhancedPacket)]
    return found


def sum_of(data: bytes) -> int:
    """RFC 1071, the slow way: 0xFFFF for data with its right checksum in it."""
    total = 0
    for high, low in zip(data[::2], (data + b"\0")[1::2], strict=False):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_file_names_its_writer_and_the_packet_type() -> None:
    section, interface = read()
    assert isinstance(section, blocks.SectionHeader)
    assert section.options["shb_userappl"] == "Pyaiot"
    assert isinstance(interface, blocks.InterfaceDescription)
    assert interface.link_type == 101
    assert interface.options["if_name"] == "coap"


@pytest.mark.parametrize("inbound", [True, False])
def test_packet_has_time_comment_and_direction(*, inbound: bool) -> None:
    found = one(packet(AT, NODE, GATEWAY, b"\x40\x00\x00\x01", comment="node Ä", inbound=inbound))
    assert found.timestamp == AT
    assert found.options["opt_comment"] == "node Ä"
    assert found.options["epb_flags"].inout == ("inbound" if inbound else "outbound")


@given(st.binary(max_size=200))
def test_ipv4_packet_is_complete_and_its_checksums_are_right(datagram: bytes) -> None:
    data = one(packet(AT, NODE, GATEWAY, datagram, inbound=True)).packet_data
    assert data[:1] == b"\x45"
    assert struct.unpack(">H", data[2:4]) == (len(data),)
    assert data[12:20] == bytes((10, 0, 0, 7, 10, 0, 0, 1))
    assert sum_of(data[:20]) == 0xFFFF
    udp = data[20:]
    assert struct.unpack(">HHH", udp[:6]) == (49152, 5683, 8 + len(datagram))
    assert udp[8:] == datagram
    assert udp[6:8] != b"\0\0"
    assert sum_of(data[12:20] + struct.pack(">HH", 17, len(udp)) + udp) == 0xFFFF


@given(st.binary(max_size=200))
def test_ipv6_packet_is_complete_and_its_checksum_is_right(datagram: bytes) -> None:
    source, destination = PacketEndpoint("fe80::7", 5683), PacketEndpoint("2001:db8::1", 5683)
    data = one(packet(AT, source, destination, datagram, inbound=True)).packet_data
    assert data[:4] == b"\x60\0\0\0"
    udp = data[40:]
    assert struct.unpack(">HB", data[4:7]) == (len(udp), 17)
    assert udp[8:] == datagram
    assert sum_of(data[8:40] + struct.pack(">IHH", len(udp), 0, 17) + udp) == 0xFFFF


def test_address_of_the_other_family_is_none() -> None:
    data = one(packet(AT, NODE, PacketEndpoint("::", 5683), b"x", inbound=True)).packet_data
    assert data[0] >> 4 == 6
    assert data[24:40] == bytes(16)


@pytest.mark.parametrize(("host", "kind"), [("10.0.0.7", 1), ("2001:db8::7", 2)])
def test_name_resolution_names_the_address(host: str, kind: int) -> None:
    (found,) = [
        item for item in read(name(host, "A\0Ä")) if isinstance(item, blocks.NameResolution)
    ]
    (record,) = found.records
    assert record["type"] == kind
    assert record["address"] == host
    assert record["names"] == ["AÄ"]


def test_long_comments_are_cut_between_characters() -> None:
    found = one(packet(AT, NODE, GATEWAY, b"x", comment="Ä" * 1000, inbound=True))
    assert found.options["opt_comment"] == "Ä" * (COMMENT_BYTES_MAX // 2)
    one(packet(AT, NODE, GATEWAY, b"x", comment="\ud800", inbound=True))
