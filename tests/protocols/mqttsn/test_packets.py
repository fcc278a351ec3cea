# SPDX-License-Identifier: BSD-3-Clause
"""The packet codec against the tables of MQTT-SN 1.2, and against bytes that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.mqttsn.numbers import PacketType, ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packet import NOT_UTF8
from pyaiot.protocols.mqttsn.packets import (
    Advertise,
    ConnAck,
    Connect,
    Disconnect,
    Forwarded,
    GwInfo,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    RegAck,
    Register,
    SearchGw,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    WillMsg,
    WillMsgReq,
    WillMsgResp,
    WillMsgUpd,
    WillTopic,
    WillTopicReq,
    WillTopicResp,
    WillTopicUpd,
    parse_packet,
)
from pyaiot.protocols.mqttsn.topics import is_filter

NORMAL, PREDEFINED, SHORT = TopicIdType

# Typed from tables 6 to 28, field by field.
TABLES = [
    ("05 00 07 0384", Advertise(gateway_id=7, duration_s=900)),
    ("03 01 02", SearchGw(radius=2)),
    ("03 02 07", GwInfo(gateway_id=7)),
    ("07 02 07 c0a80001", GwInfo(gateway_id=7, gateway_address=b"\xc0\xa8\x00\x01")),
    ("0a 04 04 01 0168 6e6f6465", Connect("node", duration_s=360)),
    ("0a 04 08 01 0168 6e6f6465", Connect("node", 360, clean_session=False, will=True)),
    ("03 05 00", ConnAck()),
    ("03 05 01", ConnAck(ReturnCode.CONGESTION)),
    ("02 06", WillTopicReq()),
    ("07 07 30 6c617374", WillTopic("last", qos=1, retain=True)),
    ("02 07", WillTopic()),
    ("02 08", WillMsgReq()),
    ("06 09 676f6e65", WillMsg(b"gone")),
    ("02 09", WillMsg()),
    ("0a 0a 0000 1234 612f6263", Register("a/bc", message_id=0x1234)),
    ("0a 0a 0005 1234 612f6263", Register("a/bc", message_id=0x1234, topic_id=5)),
    ("06 0a 0000 1234", Register("", message_id=0x1234)),
    ("05 12 00 1234", Subscribe("", message_id=0x1234)),
    ("07 0b 0005 1234 00", RegAck(topic_id=5, message_id=0x1234)),
    ("07 0b 0000 1234 02", RegAck(0, 0x1234, ReturnCode.INVALID_TOPIC_ID)),
    ("09 0c 20 0005 1235 3233", Publish(5, b"23", qos=1, message_id=0x1235)),
    ("09 0c 00 0005 0000 3233", Publish(5, b"23")),
    ("07 0c d0 0005 0007", Publish(5, b"", 2, 7, retain=True, dup=True)),
    ("08 0c 61 0001 0000 31", Publish(1, b"1", qos=-1, topic_id_type=PREDEFINED)),
    ("08 0c 02 6162 0000 31", Publish(0x6162, b"1", topic_id_type=SHORT)),
    ("07 0d 0005 1235 00", PubAck(topic_id=5, message_id=0x1235)),
    ("07 0d 0005 1235 03", PubAck(5, 0x1235, ReturnCode.NOT_SUPPORTED)),
    ("04 0e 1236", PubComp(0x1236)),
    ("04 0f 1236", PubRec(0x1236)),
    ("04 10 1236", PubRel(0x1236)),
    ("08 12 20 1237 612f23", Subscribe("a/#", message_id=0x1237, qos=1)),
    ("08 12 a0 1237 612f23", Subscribe("a/#", 0x1237, 1, dup=True)),
    ("07 12 41 1237 0009", Subscribe(9, 0x1237, 2, PREDEFINED)),
    ("07 12 02 1237 6162", Subscribe("ab", 0x1237, 0, SHORT)),
    ("08 13 20 0005 1237 00", SubAck(topic_id=5, message_id=0x1237, qos=1)),
    ("08 13 00 0000 1237 01", SubAck(0, 0x1237, ReturnCode.CONGESTION)),
    ("08 14 00 1238 612f23", Unsubscribe("a/#", message_id=0x1238)),
    ("07 14 01 1238 0009", Unsubscribe(9, 0x1238, topic_id_type=PREDEFINED)),
    ("04 15 1238", UnsubAck(0x1238)),
    ("02 16", PingReq()),
    ("06 16 6e6f6465", PingReq("node")),
    ("02 17", PingResp()),
    ("02 18", Disconnect()),
    ("04 18 003c", Disconnect(duration_s=60)),
    ("07 1a 30 6c617374", WillTopicUpd("last", 1, retain=True)),
    ("02 1a", WillTopicUpd()),
    ("03 1b 00", WillTopicResp()),
    ("06 1c 676f6e65", WillMsgUpd(b"gone")),
    ("03 1d 03", WillMsgResp(ReturnCode.NOT_SUPPORTED)),
    ("05 fe 01 abcd 02 16", Forwarded(PingReq(), node_id=b"\xab\xcd", radius=1)),
    ("03 fe 00 03 01 00", Forwarded(SearchGw(), node_id=b"")),
]
IDS = [f"{packet.TYPE.name}-{number}" for number, (_, packet) in enumerate(TABLES)]
MAY_END_ANYWHERE = {
    *(PacketType.GWINFO, PacketType.CONNECT, PacketType.REGISTER, PacketType.PUBLISH),
    *(PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE, PacketType.PINGREQ, PacketType.DISCONNECT),
    *(PacketType.WILLTOPIC, PacketType.WILLMSG, PacketType.WILLTOPICUPD, PacketType.WILLMSGUPD),
    PacketType.FORWARDED,
}

ids = st.integers(0, 0xFFFF)
bytes_ = st.integers(0, 0xFF)
texts = st.text(max_size=300)
payloads = st.binary(max_size=600)
qos = st.integers(0, 2)
flags = st.booleans()
short_names = st.text(st.characters(max_codepoint=127), min_size=2, max_size=2)


def filters(kind: type[Subscribe] | type[Unsubscribe]) -> st.SearchStrategy[Packet]:
    return st.one_of(
        st.builds(kind, texts, ids, qos, st.just(NORMAL), flags),
        st.builds(kind, ids, ids, qos, st.just(PREDEFINED), flags),
        st.builds(kind, short_names, ids, qos, st.just(SHORT), flags),
    )


def wills(kind: type[WillTopic] | type[WillTopicUpd]) -> st.SearchStrategy[Packet]:
    return st.one_of(
        st.just(kind()), st.builds(kind, st.text(min_size=1, max_size=300), qos, flags)
    )


plain_packets: st.SearchStrategy[Packet] = st.one_of(
    st.builds(Advertise, bytes_, ids),
    st.builds(SearchGw, bytes_),
    st.builds(GwInfo, bytes_, payloads),
    st.builds(Connect, texts, ids, flags, flags, bytes_),
    *(st.builds(kind, bytes_) for kind in (ConnAck, WillTopicResp, WillMsgResp)),
    *(st.just(packet) for packet in (WillTopicReq(), WillMsgReq(), PingResp(), Disconnect())),
    *(wills(kind) for kind in (WillTopic, WillTopicUpd)),
    *(st.builds(kind, payloads) for kind in (WillMsg, WillMsgUpd)),
    st.builds(Register, texts, ids, ids),
    *(st.builds(kind, ids, ids, bytes_) for kind in (RegAck, PubAck)),
    st.builds(
        Publish, ids, payloads, st.integers(-1, 2), ids, st.sampled_from(TopicIdType), flags, flags
    ),
    *(st.builds(kind, ids) for kind in (PubComp, PubRec, PubRel, UnsubAck)),
    *(filters(kind) for kind in (Subscribe, Unsubscribe)),
    st.builds(SubAck, ids, ids, bytes_, qos),
    st.builds(PingReq, texts),
    st.builds(Disconnect, ids),
)
packets = st.one_of(
    plain_packets,
    st.builds(Forwarded, plain_packets, st.binary(max_size=200), st.integers(0, 3)),
)


def from_hex(text: str) -> Packet:
    return parse_packet(bytes.fromhex(text))


@pytest.mark.parametrize(("wire", "packet"), TABLES, ids=IDS)
def test_a_packet_is_as_in_the_tables(wire: str, packet: Packet) -> None:
    assert from_hex(wire) == packet
    assert packet.to_bytes() == bytes.fromhex(wire)
    assert type(packet).from_bytes(bytes.fromhex(wire)) == packet


def test_the_tables_have_every_packet_type() -> None:
    assert {packet.TYPE for _, packet in TABLES} == set(PacketType)


@pytest.mark.parametrize("packet", [packet for _, packet in TABLES], ids=IDS)
def test_a_packet_that_is_cut_off_lacks_bytes(packet: Packet) -> None:
    datagram = packet.to_bytes()
    for end in range(len(datagram)):
        with pytest.raises(NotEnoughBytes):
            parse_packet(datagram[:end])


@pytest.mark.parametrize("packet", [packet for _, packet in TABLES], ids=IDS)
def test_fields_that_do_not_fill_the_length_are_wrong(packet: Packet) -> None:
    body = packet.to_bytes()[2:]
    for changed in (*(body[:end] for end in range(len(body))), body + b"\0"):
        datagram = bytes((2 + len(changed), packet.TYPE)) + changed
        try:
            other = parse_packet(datagram)
        except ProtocolError:
            continue
        # Only where the last field has no length, or is optional.
        assert other.TYPE in MAY_END_ANYWHERE
        assert other != packet or packet in (WillTopic(), WillTopicUpd())


@given(packets)
def test_every_packet_is_read_as_it_was_written(packet: Packet) -> None:
    datagram = packet.to_bytes()
    assert parse_packet(datagram) == packet
    with pytest.raises(ProtocolError):
        parse_packet(datagram + b"\0")


@given(packets)
def test_a_packet_fits_in_a_line_of_a_log(packet: Packet) -> None:
    text = repr(packet)
    assert text.startswith(packet.TYPE.name)
    assert text.isprintable()
    assert len(text) < 300


@given(st.binary(max_size=40))
def test_any_bytes_are_a_packet_or_a_protocol_error(data: bytes) -> None:
    try:
        packet = parse_packet(data)
    except ProtocolError:
        return
    assert parse_packet(packet.to_bytes()) == packet


def test_the_repr_of_a_packet_fits_a_log() -> None:
    packet = Publish(5, b"23.5", 1, 7)
    assert repr(packet).startswith("PUBLISH topic_id=5 data=b'23.5' qos=1 message_id=7 ")
    assert repr(WillMsg(b"x" * 1000)).endswith("x…")


@pytest.mark.parametrize(("size", "head"), [(253, "ff09"), (254, "01010209"), (1000, "0103ec09")])
def test_a_packet_over_255_bytes_has_a_length_of_three_bytes(size: int, head: str) -> None:
    packet = WillMsg(b"x" * size)
    datagram = packet.to_bytes()
    assert datagram.startswith(bytes.fromhex(head))
    assert parse_packet(datagram) == packet
    for end in range(len(datagram)):
        with pytest.raises(NotEnoughBytes):
            parse_packet(datagram[:end])


def test_the_long_form_of_a_short_length_is_read() -> None:
    assert from_hex("01 0006 18 003c") == Disconnect(60)


def test_the_longest_packet_has_65535_bytes() -> None:
    assert len(WillMsg(b"x" * 65531).to_bytes()) == 65535
    with pytest.raises(ValueError, match="65536"):
        WillMsg(b"x" * 65532).to_bytes()


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        ("00 16", "leaves no room"),
        ("01 0003 16", "leaves no room"),
        ("02 03", "reserved"),
        ("02 11", "reserved"),
        ("02 19", "reserved"),
        ("02 1e", "reserved"),
        ("02 ff", "reserved"),
        ("02 16 00", "1 bytes after"),
        ("03 17 00", "PINGRESP has 1 bytes"),
        ("05 18 000000", "DISCONNECT has 3 bytes"),
        ("08 0c 03 0001 0000 31", "topic id type 3"),
        ("06 12 03 0001 61", "topic id type 3"),
        ("08 12 60 0001 616263", "QoS -1"),
        ("05 07 60 6162", "QoS -1"),
        ("08 12 01 0001 000900", "6 bytes; the limit is 5"),
        ("08 12 02 0001 616263", "6 bytes; the limit is 5"),
        ("01 0005 fe 00 02 16", "header of a forwarded packet"),
        ("02 fe 02 16", "header of a forwarded packet"),
        ("03 fe 00 03 fe 00 02 16", "header of a forwarded packet"),
    ],
)
def test_wrong_bytes_are_refused_with_the_reason(wire: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        from_hex(wire)


@pytest.mark.parametrize(
    ("wire", "packet"),
    [
        ("07 04 04 01 0001 ff", Connect(NOT_UTF8, 1)),
        ("08 0a 0000 0001 c328", Register(NOT_UTF8, 1)),
        ("06 12 00 0001 ff", Subscribe(NOT_UTF8, 1)),
        ("07 12 02 0001 61ff", Subscribe(NOT_UTF8, 1, topic_id_type=SHORT)),
        ("06 14 00 0001 ff", Unsubscribe(NOT_UTF8, 1)),
        ("04 07 00 ff", WillTopic(NOT_UTF8)),
        ("04 1a 00 ff", WillTopicUpd(NOT_UTF8)),
        ("03 16 ff", PingReq(NOT_UTF8)),
    ],
)
def test_text_that_is_not_utf8_is_no_valid_name_but_its_packet_can_be_answered(
    wire: str, packet: Packet
) -> None:
    assert from_hex(wire) == packet
    assert not NOT_UTF8.isprintable()
    assert not is_filter(NOT_UTF8)


def test_forwarders_in_forwarders_are_no_deep_recursion() -> None:
    with pytest.raises(ProtocolError):
        parse_packet(b"\x03\xfe\x00" * 5000)


def test_a_packet_of_another_class_is_refused() -> None:
    with pytest.raises(ProtocolError, match="PINGREQ is not PUBLISH"):
        Publish.from_bytes(b"\x02\x16")


@pytest.mark.parametrize(
    "packet",
    [
        Publish(0x10000, b""),
        Disconnect(-1),
        Subscribe("abc", 1, topic_id_type=SHORT),
        Subscribe("abc", 1, topic_id_type=PREDEFINED),
        Subscribe(5, 1),
        Forwarded(PingReq(), b"x" * 253),
        Forwarded(Forwarded(PingReq(), b""), b""),
    ],
)
def test_what_has_no_form_on_the_wire_is_our_mistake(packet: Packet) -> None:
    with pytest.raises(ValueError, match=r"."):
        packet.to_bytes()


def test_bits_without_meaning_are_ignored() -> None:
    """5.3.4: DUP, QoS and retain mean nothing in CONNECT, will and clean session in PUBLISH."""
    assert from_hex("0a 04 f4 01 0168 6e6f6465") == Connect("node", 360)
    assert from_hex("08 0c 0c 0005 0000 31") == Publish(5, b"1")
