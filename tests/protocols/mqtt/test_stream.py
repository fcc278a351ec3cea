# SPDX-License-Identifier: BSD-3-Clause
"""Packets in the bytes of a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.protocols.mqtt.packets import PingResp, Publish, PubRel, SubAck
from pyaiot.protocols.mqtt.stream import INVALID, StreamPacket, read_packets

PUBLICATIONS = st.builds(
    Publish,
    topic=st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=20),
    payload=st.binary(max_size=200),
    qos=st.just(0),
    retain=st.booleans(),
) | st.builds(
    Publish,
    topic=st.just("node/a/led"),
    payload=st.binary(max_size=20),
    qos=st.just(1),
    packet_id=st.integers(1, 0xFFFF),
    dup=st.booleans(),
)


def expected(packet: Publish | PubRel | SubAck | PingResp) -> StreamPacket:
    data = packet.to_bytes()
    if isinstance(packet, Publish):
        return data[0], packet.topic, packet.payload, packet.packet_id
    return data[0], None, data[2:], 0


@given(
    st.lists(PUBLICATIONS | st.just(PubRel(7)) | st.just(SubAck(3, (1,))) | st.just(PingResp())),
    st.integers(1, 300),
)
def test_packets_are_found_however_the_bytes_are_split(
    packets: list[Publish | PubRel | SubAck | PingResp], step: int
) -> None:
    data = b"".join(packet.to_bytes() for packet in packets)
    found: list[StreamPacket] = []
    waiting = b""
    for start in range(0, len(data), step):
        waiting += data[start : start + step]
        some, end = read_packets(waiting, has_properties=False)
        found += some
        waiting = waiting[end:]
    assert waiting == b""
    assert found == [expected(packet) for packet in packets]


@pytest.mark.parametrize(
    ("data", "packet"),
    [
        ("30 06 0001 61 00 3132", (0x30, "a", b"12", 0)),
        ("32 07 0001 61 0009 00 31", (0x32, "a", b"1", 9)),
        ("30 04 0001 61 00", (0x30, "a", b"", 0)),
        ("30 03 0001 61", (0x30, None, b"\0\1a", 0)),  # the properties are missing
        ("30 07 0001 61 02 2301 31", (0x30, None, b"\0\1a\x02\x23\x011", 0)),  # it has properties
    ],
)
def test_publications_of_mqtt_5_without_properties_are_parsed(
    data: str, packet: StreamPacket
) -> None:
    assert read_packets(bytes.fromhex(data), has_properties=True)[0] == [packet]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("30 01 00", "no topic"),
        ("30 02 0000", "an empty topic"),
        ("30 03 0002 61", "a topic beyond the packet"),
        ("30 04 0002 c328", "a topic that is not UTF-8"),
        ("32 03 0001 61", "no packet id"),
        ("32 05 0001 61 0000", "a packet id of 0"),
        ("34 05 0001 61 0007", "QoS 2"),
        ("36 05 0001 61 0007", "QoS 3"),
    ],
)
def test_other_publications_are_returned_whole(data: str, why: str) -> None:
    packet = bytes.fromhex(data)
    assert read_packets(packet, has_properties=False) == (
        [(packet[0], None, packet[2:], 0)],
        len(packet),
    ), why


def test_packets_before_an_invalid_length_are_returned() -> None:
    data = PingResp().to_bytes() + b"\x30\xff\xff\xff\xff\x7f"
    assert read_packets(data, has_properties=False) == ([(0xD0, None, b"", 0)], INVALID)
