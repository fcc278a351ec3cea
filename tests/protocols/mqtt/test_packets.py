# SPDX-License-Identifier: BSD-3-Clause
"""The packet codec against the figures of MQTT 3.1.1, and against bytes that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.mqtt.packet import Packet, PacketReader, PacketType, remaining_length
from pyaiot.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)

# Typed from the figures of section 3, field by field.
FIGURES = [
    ("10 10 0004 4d515454 04 02 003c 0004 6e6f6465", Connect("node", True, 60)),
    ("10 0c 0004 4d515454 04 02 0000 0000", Connect("")),
    (
        "10 1f 0004 4d515454 04 ec 003c 0001 6e 0001 74 0003 627965 0004 75736572 0002 7077",
        Connect("n", False, 60, Will("t", b"bye", 1, retain=True), "user", b"pw"),
    ),
    (
        "10 13 0004 4d515454 04 16 003c 0001 6e 0001 74 0001 78",
        Connect("n", True, 60, Will("t", b"x", 2)),
    ),
    ("20 02 00 00", ConnAck()),
    ("20 02 01 00", ConnAck(session_present=True)),
    ("20 02 00 05", ConnAck(return_code=5)),
    ("30 07 0003 612f62 3233", Publish("a/b", b"23")),
    ("31 05 0003 612f62", Publish("a/b", b"", retain=True)),
    ("3a 09 0003 612f62 0007 3233", Publish("a/b", b"23", 1, packet_id=7, dup=True)),
    ("34 07 0003 612f62 0007", Publish("a/b", b"", 2, packet_id=7)),
    ("40 02 1234", PubAck(0x1234)),
    ("50 02 1234", PubRec(0x1234)),
    ("62 02 1234", PubRel(0x1234)),
    ("70 02 1234", PubComp(0x1234)),
    ("82 0e 000a 0003 612f62 01 0003 632f23 02", Subscribe(10, (("a/b", 1), ("c/#", 2)))),
    ("90 05 000a 01 00 80", SubAck(10, (1, 0, 0x80))),
    ("a2 0c 000a 0003 612f62 0003 632f23", Unsubscribe(10, ("a/b", "c/#"))),
    ("b0 02 000a", UnsubAck(10)),
    ("c0 00", PingReq()),
    ("d0 00", PingResp()),
    ("e0 00", Disconnect()),
]
IDS = [f"{packet.TYPE.name}-{number}" for number, (_, packet) in enumerate(FIGURES)]


def read(data: bytes, packet_bytes_max: int = 100_000) -> list[Packet]:
    return list(PacketReader(packet_bytes_max=packet_bytes_max).receive_bytes(data))


@pytest.mark.parametrize(("text", "packet"), FIGURES, ids=IDS)
def test_a_packet_is_as_in_the_figures(text: str, packet: Packet) -> None:
    data = bytes.fromhex(text)
    assert packet.to_bytes() == data
    assert Packet.from_bytes(data) == packet
    assert type(packet).from_bytes(data) == packet


def test_the_figures_have_every_packet_type() -> None:
    assert {packet.TYPE for _, packet in FIGURES} == set(PacketType)


@pytest.mark.parametrize(("text", "packet"), FIGURES, ids=IDS)
def test_a_packet_that_is_cut_off_is_waited_for(text: str, packet: Packet) -> None:
    data = bytes.fromhex(text)
    for end in range(len(data)):
        with pytest.raises(NotEnoughBytes):
            Packet.from_bytes(data[:end])
        reader = PacketReader(packet_bytes_max=1000)
        assert list(reader.receive_bytes(data[:end])) == []
        assert reader.waiting_bytes == end
        assert list(reader.receive_bytes(data[end:])) == [packet]
        assert reader.waiting_bytes == 0


@pytest.mark.parametrize(("text", "packet"), FIGURES, ids=IDS)
def test_a_body_that_ends_too_early_is_refused(text: str, packet: Packet) -> None:
    """A packet whose fixed header has the length of its truncated body."""
    body = bytes.fromhex(text)[2:]
    whole = {len(body)}
    if isinstance(packet, Publish):  # a payload may be of any length
        whole = set(range(len(body) - len(packet.payload), len(body) + 1))
    elif isinstance(packet, Subscribe | Unsubscribe | SubAck):
        whole = {len(body), 3, 4, 7, 8}  # lists end after any of their items
    for end in range(len(body)):
        if end not in whole:
            with pytest.raises(ProtocolError):
                read(bytes((bytes.fromhex(text)[0],)) + remaining_length(end) + body[:end])


def test_a_stream_is_cut_into_its_packets_however_it_comes() -> None:
    data = b"".join(bytes.fromhex(text) for text, _ in FIGURES)
    packets = [packet for _, packet in FIGURES]
    assert read(data) == packets
    reader = PacketReader(packet_bytes_max=1000)
    assert [packet for byte in data for packet in reader.receive_bytes(bytes((byte,)))] == packets


WRONG = {
    "type 0": "00 00",
    "type 15": "f0 00",
    "five bytes of length": "30 80 80 80 80 01",
    "flags of PUBACK": "41 02 0001",
    "flags of PUBREL": "60 02 0001",
    "flags of SUBSCRIBE": "80 06 0001 0001 61 00",
    "PUBACK of 3 bytes": "40 03 000100",
    "packet id 0": "40 02 0000",
    "PUBLISH with packet id 0": "32 05 0001 61 0000",
    "QoS 3": "36 05 0001 61 0001",
    "DUP with QoS 0": "38 03 0001 61",
    "no topic": "30 02 0000",
    "topic with +": "30 03 0001 2b",
    "topic with #": "30 05 0003 612f23",
    "topic with U+0000": "30 03 0001 00",
    "topic that is not UTF-8": "30 03 0001 ff",
    "topic with a surrogate": "30 05 0003 eda080",
    "CONNACK with a reserved flag": "20 02 02 00",
    "CONNACK that refuses with a session": "20 02 01 05",
    "SUBACK with QoS 3": "90 03 0001 03",
    "SUBACK without a code": "90 02 0001",
    "PINGRESP with a body": "d0 01 00",
    "CONNECT of MQTT 3.1": "10 0e 0006 4d5149736470 03 02 003c 0000",
    "CONNECT with the reserved flag": "10 0c 0004 4d515454 04 03 0000 0000",
    "CONNECT with will QoS and no will": "10 0c 0004 4d515454 04 0a 0000 0000",
    "CONNECT with a password and no user": "10 0e 0004 4d515454 04 42 0000 0000 0000",
    "CONNECT with more fields than its flags": "10 0d 0004 4d515454 04 02 0000 0000 00",
    "SUBSCRIBE with QoS 3": "82 06 0001 0001 61 03",
    "SUBSCRIBE to nothing": "82 02 0001",
    "UNSUBSCRIBE from nothing": "a2 02 0001",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_wrong_bytes_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        read(bytes.fromhex(text))


def test_what_came_before_wrong_bytes_counts() -> None:
    packets = PacketReader(packet_bytes_max=100).receive_bytes(bytes.fromhex("40020001 f000"))
    assert next(packets) == PubAck(1)
    with pytest.raises(ProtocolError):
        next(packets)


def test_a_packet_over_the_limit_is_refused_before_it_is_there() -> None:
    assert read(Publish("t", bytes(95)).to_bytes(), 100) == [Publish("t", bytes(95))]
    with pytest.raises(ProtocolError, match="101 bytes"):
        read(Publish("t", bytes(96)).to_bytes()[:2], 100)


@pytest.mark.parametrize("length", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_a_remaining_length_has_one_to_four_bytes(length: int) -> None:
    """2.2.3, table 2.4: the first and last value of each number of bytes."""
    head = remaining_length(length)
    assert len(head) == next(size for size in (1, 2, 3, 4) if length < 128**size)
    reader = PacketReader(packet_bytes_max=3_000_000)
    packet = b"\x30" + head + b"\x00\x01t" + bytes(max(0, length - 3))
    if length >= 3:
        assert list(reader.receive_bytes(packet)) == [Publish("t", bytes(length - 3))]


@pytest.mark.parametrize(
    "packet",
    [
        Publish("", b""),
        Publish("a/#", b""),
        Publish("a\0b", b""),
        Publish("\ud800", b""),
        Publish("t" * 65_536, b""),
        Publish("t", b"", qos=1),
        PubAck(0),
        PubAck(65_536),
        Connect("", clean_session=False),
        Connect("c", password=b"without a user"),
        Connect("c", keep_alive_s=65_536),
    ],
    ids=repr,
)
def test_what_has_no_form_on_the_wire_is_our_mistake(packet: Packet) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - with any text
        packet.to_bytes()


def test_a_password_stands_in_no_log() -> None:
    assert "secret" not in repr(Connect("c", user="u", password=b"secret"))


@given(st.binary(max_size=64))
def test_any_bytes_are_packets_or_refused(data: bytes) -> None:
    try:
        packets = read(data)
    except ProtocolError:
        return
    for packet in packets:
        assert Packet.from_bytes(packet.to_bytes()) == packet
