# SPDX-License-Identifier: BSD-3-Clause
"""The message codec against RFC 7252 and RFC 7959, and against bytes that are wrong."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.coap.message import (
    Block,
    CoapMessage,
    build_options,
    decode_uint,
    encode_uint,
    rejection,
)
from pyaiot.protocols.coap.numbers import (
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
    code_text,
    option_text,
)

CON, NON, ACK, RST = MessageType
TEMPERATURE = ((OptionNumber.URI_PATH, b"temperature"),)
GET_TEMPERATURE = "bb 74656d7065726174757265"  # option: delta 11, 11 bytes
DEGREES = "ff 32322e332043"  # "22.3 C"

# The messages of RFC 7252 appendix A, each kind once
APPENDIX_A = [
    (f"40 01 7d34 {GET_TEMPERATURE}", CoapMessage(CON, 0x01, 0x7D34, b"", TEMPERATURE)),
    (f"60 45 7d34 {DEGREES}", CoapMessage(ACK, 0x45, 0x7D34, payload=b"22.3 C")),
    (f"41 01 7d35 20 {GET_TEMPERATURE}", CoapMessage(CON, 0x01, 0x7D35, b"\x20", TEMPERATURE)),
    (f"61 45 7d35 20 {DEGREES}", CoapMessage(ACK, 0x45, 0x7D35, b"\x20", payload=b"22.3 C")),
    (f"41 01 7d38 53 {GET_TEMPERATURE}", CoapMessage(CON, 0x01, 0x7D38, b"\x53", TEMPERATURE)),
    ("60 00 7d38", CoapMessage(ACK, 0x00, 0x7D38)),
    (f"41 45 ad7b 53 {DEGREES}", CoapMessage(CON, 0x45, 0xAD7B, b"\x53", payload=b"22.3 C")),
    ("60 00 ad7b", CoapMessage(ACK, 0x00, 0xAD7B)),
    ("70 00 ad7c", CoapMessage(RST, 0x00, 0xAD7C)),
    (f"51 01 7d40 75 {GET_TEMPERATURE}", CoapMessage(NON, 0x01, 0x7D40, b"\x75", TEMPERATURE)),
    (f"51 45 ad7d 75 {DEGREES}", CoapMessage(NON, 0x45, 0xAD7D, b"\x75", payload=b"22.3 C")),
]

# A reading as RIOT sends it; and a message with every way to write an option's head.
READING = CoapMessage(
    NON,
    Code.POST,
    0x3039,
    b"\xbe\xef",
    build_options((OptionNumber.URI_PATH, "server"), (OptionNumber.CONTENT_FORMAT, 0)),
    b"temperature:23.5\xc2\xb0C",
)
READING_BYTES = bytes.fromhex(
    "52 02 3039 beef b6 736572766572 10 ff 74656d70657261747572653a32332e35c2b043"
)
MANY_OPTIONS = CoapMessage(
    CON,
    Code.PUT,
    1,
    b"12345678",
    (
        (0, b""),
        (12, b"a" * 12),
        (25, b"b" * 13),
        (293, b"c" * 268),
        (562, b"d" * 269),
        (65535, b"e"),
    ),
    b"p",
)


def from_hex(text: str) -> CoapMessage:
    return CoapMessage.from_bytes(bytes.fromhex(text))


@pytest.mark.parametrize(("wire", "message"), APPENDIX_A)
def test_examples_of_rfc_7252_appendix_a_are_read_and_written(
    wire: str, message: CoapMessage
) -> None:
    assert from_hex(wire) == message
    assert message.to_bytes() == bytes.fromhex(wire)


def test_a_reading_has_the_bytes_that_real_firmware_sends() -> None:
    assert READING.to_bytes() == READING_BYTES
    assert CoapMessage.from_bytes(READING_BYTES) == READING


@pytest.mark.parametrize(
    ("number", "length", "head"),
    [
        (0, 0, "00"),
        (12, 12, "cc"),
        (13, 13, "dd 00 00"),
        (268, 268, "dd ff ff"),
        (269, 269, "ee 0000 0000"),
        (65535, 600, "ee fef2 014b"),
    ],
)
def test_option_heads_grow_at_13_and_at_269(number: int, length: int, head: str) -> None:
    message = CoapMessage(CON, Code.GET, 1, options=((number, bytes(length)),))
    wire = bytes.fromhex("40 01 0001" + head) + bytes(length)
    assert message.to_bytes() == wire
    assert CoapMessage.from_bytes(wire) == message


@pytest.mark.parametrize("message", [READING, MANY_OPTIONS, *(m for _, m in APPENDIX_A)])
def test_every_truncation_is_detected_or_ends_at_a_field(message: CoapMessage) -> None:
    wire = message.to_bytes()
    # Where a datagram may end: after the header and token, after an option, inside the payload.
    marker = len(wire) - len(message.payload) - bool(message.payload)
    complete = set(range(marker + 2, len(wire)))
    if message.code:
        for count in range(len(message.options) + 1):
            shorter = CoapMessage(CON, 1, 0, message.token, message.options[:count])
            complete.add(len(shorter.to_bytes()))
    for size in range(len(wire)):
        if size in complete:
            short = CoapMessage.from_bytes(wire[:size])
            assert short.to_bytes() == wire[:size]
        else:
            with pytest.raises(NotEnoughBytes):
                CoapMessage.from_bytes(wire[:size])


@pytest.mark.parametrize("size", range(4))
def test_less_than_a_header_is_not_enough(size: int) -> None:
    with pytest.raises(NotEnoughBytes):
        CoapMessage.from_bytes(b"\x40\x00\x00"[:size])


@pytest.mark.parametrize("length", range(9, 16))
def test_token_lengths_9_to_15_are_refused(length: int) -> None:
    with pytest.raises(ProtocolError, match="token length"):
        CoapMessage.from_bytes(bytes((0x40 | length, 1, 0, 1)) + bytes(20))


@pytest.mark.parametrize("version", [0, 2, 3])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(ProtocolError, match="version"):
        CoapMessage.from_bytes(bytes((version << 6, 1, 0, 1)))


@pytest.mark.parametrize("head", ["f0", "f1", "0f", "1f", "df 00", "fd 00"])
def test_option_nibble_15_is_refused(head: str) -> None:
    with pytest.raises(ProtocolError, match="nibble 15"):
        from_hex("40 01 0001" + head + "00 00 00 00")


def test_payload_marker_without_payload_is_refused() -> None:
    with pytest.raises(ProtocolError, match="payload marker"):
        from_hex("40 01 0001 ff")


def test_a_second_payload_marker_belongs_to_the_payload() -> None:
    assert from_hex("40 01 0001 ff ff").payload == b"\xff"


@pytest.mark.parametrize("options", ["e0 fef3", "e0 ffff", "e0 fef2 10", "e0 8000 e0 8000"])
def test_option_numbers_over_65535_are_refused(options: str) -> None:
    with pytest.raises(ProtocolError, match="option number"):
        from_hex("40 01 0001" + options)


@pytest.mark.parametrize("wire", ["41 00 0001 aa", "41 00 0001", "40 00 0001 ff 61", "40000001 00"])
def test_an_empty_message_has_only_a_header(wire: str) -> None:
    with pytest.raises(ProtocolError, match="empty"):
        from_hex(wire)


def test_repeated_options_keep_their_order() -> None:
    options = build_options(
        (OptionNumber.URI_QUERY, "lt=60"),
        (OptionNumber.URI_PATH, "rd"),
        (OptionNumber.URI_PATH, ""),
        (OptionNumber.URI_QUERY, "ep=é"),
        (OptionNumber.ACCEPT, ContentFormat.LINK_FORMAT),
    )
    message = CoapMessage.from_bytes(CoapMessage(CON, Code.POST, 1, options=options).to_bytes())
    assert message.uri_path == ("rd", "")
    assert message.uri_query == ("lt=60", "ep=é")
    assert message.option(OptionNumber.ACCEPT) == b"\x28"
    assert message.option(OptionNumber.BLOCK2) is None


def test_a_path_that_is_not_utf_8_is_the_senders_error() -> None:
    message = from_hex("40 01 0001 b1 ff")
    with pytest.raises(ProtocolError, match="UTF-8"):
        _ = message.uri_path


@pytest.mark.parametrize(
    ("value", "wire"),
    [(0, b""), (1, b"\1"), (255, b"\xff"), (256, b"\1\0"), (0xFFFFFFFF, b"\xff" * 4)],
)
def test_uints_are_written_without_leading_zeros(value: int, wire: bytes) -> None:
    assert encode_uint(value) == wire
    assert decode_uint(wire) == decode_uint(b"\0" + wire) == value


@pytest.mark.parametrize(
    ("block", "wire", "size", "offset"),
    [
        (Block(0, False, 0), "", 16, 0),
        (Block(0, True, 2), "0a", 64, 0),
        (Block(1, False, 6), "16", 1024, 1024),
        (Block(16, True, 0), "0108", 16, 256),
        (Block((1 << 20) - 1, True, 6), "fffffe", 1024, 1073740800),
    ],
)
def test_block_values_of_rfc_7959(block: Block, wire: str, size: int, offset: int) -> None:
    assert block.to_bytes() == bytes.fromhex(wire)
    assert Block.from_bytes(bytes.fromhex(wire)) == block
    assert (block.size, block.offset) == (size, offset)


@pytest.mark.parametrize("wire", ["07", "0f", "fffff7", "00000000"])
def test_block_size_7_and_a_block_of_4_bytes_are_refused(wire: str) -> None:
    with pytest.raises(ProtocolError):
        Block.from_bytes(bytes.fromhex(wire))


@pytest.mark.parametrize(
    "block", [Block(1 << 20, False, 0), Block(-1, False, 0), Block(0, False, 7)]
)
def test_blocks_that_have_no_form_are_our_mistake(block: Block) -> None:
    with pytest.raises(ValueError, match="no such block"):
        block.to_bytes()


@pytest.mark.parametrize(
    "message",
    [
        CoapMessage(CON, Code.GET, 1, token=bytes(9)),
        CoapMessage(CON, Code.GET, 65536),
        CoapMessage(CON, Code.GET, -1),
        CoapMessage(CON, 256, 1),
        CoapMessage(CON, Code.GET, 1, options=((12, b""), (11, b""))),
        CoapMessage(CON, Code.GET, 1, options=((65536, b""),)),
        CoapMessage(CON, Code.GET, 1, options=((1, bytes(269 + 65536)),)),
    ],
)
def test_messages_that_have_no_form_are_our_mistake(message: CoapMessage) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whose mistake it is matters, not the text
        message.to_bytes()


def test_messages_are_values() -> None:
    assert CoapMessage.from_bytes(READING_BYTES) == READING
    assert hash(CoapMessage.from_bytes(READING_BYTES)) == hash(READING)
    with pytest.raises(AttributeError):
        READING.code = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            CoapMessage(CON, 1, 0x1234, b"\xab\x12", ((11, b"led"),)),
            "CON GET /led mid=0x1234 token=ab12",
        ),
        (CoapMessage(RST, 0, 7), "RST EMPTY mid=0x0007"),
        (READING, r"NON POST /server mid=0x3039 token=beef Content-Format=0 'temperature:23.5\xc2"),
        (
            CoapMessage(ACK, Code.CHANGED, 7, payload=b"led:1"),
            "ACK 2.04 Changed mid=0x0007 'led:1'",
        ),
        (CoapMessage(CON, 0xE3, 7), "CON 7.03 mid=0x0007"),
        (
            CoapMessage(
                CON,
                1,
                7,
                options=build_options(
                    (11, "a/b"), (11, "\n"), (15, "x=1 2"), (23, Block(2, True, 2).to_bytes())
                ),
            ),
            "CON GET /a%2Fb/%0A mid=0x0007 ?x%3D1%202 2:2/1/64",
        ),
        (CoapMessage(ACK, 0x45, 7, payload=bytes(50)), "+10 bytes"),
        (CoapMessage(CON, 1, 7, options=((27, b"\x07"), (2000, b"\0"))), "Block1=07 2000=00"),
    ],
)
def test_a_message_in_a_log_reads_well(message: CoapMessage, text: str) -> None:
    assert text in repr(message)


def test_a_message_in_a_log_is_short_and_plain_whatever_was_sent() -> None:
    text = repr(CoapMessage(CON, 1, 7, options=((11, b"\x1b\n" * 9000),), payload=b"\n"))
    assert len(text) < 300
    assert text.isprintable()


def test_numbers_have_the_names_of_the_registries() -> None:
    assert code_text(Code.REQUEST_ENTITY_TOO_LARGE) == "4.13 Request Entity Too Large"
    assert code_text(Code.CONTINUE) == "2.31 Continue"
    assert code_text(0x08) == "0.08"
    assert option_text(OptionNumber.CONTENT_FORMAT) == "Content-Format"
    assert option_text(65000) == "65000"


def test_a_confirmable_datagram_that_is_no_message_is_reset() -> None:
    assert rejection(bytes.fromhex("4f 01 1234 00")) == bytes.fromhex("70 00 1234")
    assert rejection(bytes.fromhex("5f 01 1234 00")) is None  # Non-confirmable: in silence
    assert rejection(bytes.fromhex("8f 01 1234 00")) is None  # another version: in silence
    assert rejection(b"\x40\x01\x12") is None


messages = st.builds(
    CoapMessage,
    st.sampled_from(MessageType),
    st.integers(1, 255),
    st.integers(0, 65535),
    st.binary(max_size=8),
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 300), st.integers(0, 65535)),
            st.one_of(st.binary(max_size=20), st.binary(min_size=260, max_size=300)),
        ),
        max_size=6,
    ).map(lambda options: build_options(*options)),
    st.binary(max_size=40),
)


@given(messages)
@example(MANY_OPTIONS)
def test_what_is_written_is_read_again(message: CoapMessage) -> None:
    assert CoapMessage.from_bytes(message.to_bytes()) == message


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_protocol_error(datagram: bytes) -> None:
    try:
        message = CoapMessage.from_bytes(datagram)
    except ProtocolError:
        return
    assert repr(message).isprintable()
    assert CoapMessage.from_bytes(message.to_bytes()) == message


@given(messages, st.data())
def test_a_message_with_one_wrong_byte_is_a_message_or_a_protocol_error(
    message: CoapMessage, data: st.DataObject
) -> None:
    wire = bytearray(message.to_bytes())
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        CoapMessage.from_bytes(bytes(wire))
    except ProtocolError:
        return


def test_every_first_byte_and_code_is_a_message_or_a_protocol_error() -> None:
    read = 0
    for first, code in itertools.product(range(256), range(256)):
        try:
            CoapMessage.from_bytes(bytes((first, code, 0, 1)) + bytes(8))
            read += 1
        except ProtocolError:
            continue
    assert read == 4 * 9 * 255  # one version, four types, tokens of 0 to 8 bytes, all but 0.00
