# SPDX-License-Identifier: BSD-3-Clause
"""The two posts of nodes as bytes: which datagrams are taken, and what answers them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.message import CoapMessage, build_options, decode_uint
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.post import (
    ALIVE,
    PAYLOAD_BYTES_MAX,
    RESPONSE_IDS,
    SERVER,
    Post,
    read_post,
    read_value,
    response_id,
    write_changed,
    write_response,
    write_too_many,
)
from pyaiot.protocols.coap.post_payload import parse_value

RIOT = bytes.fromhex("52021235abceb6") + b"server" + b"\x10\xff" + "temperature:23.5°C".encode()
TEXT: tuple[int, int] = (OptionNumber.CONTENT_FORMAT, 0)


def message(
    *options: tuple[int, bytes | str | int],
    mtype: MessageType = MessageType.NON,
    code: int = Code.POST,
    token: bytes = b"\xab\xce",
    payload: bytes = b"t:1",
) -> bytes:
    return CoapMessage(mtype, code, 0x1235, token, build_options(*options), payload).to_bytes()


def post(datagram: bytes) -> Post:
    read = read_post(datagram)
    assert read is not None
    return read


def answer(datagram: bytes, code: int = Code.CHANGED, **arguments: object) -> CoapMessage:
    return CoapMessage.from_bytes(write_response(post(datagram), code, 7, **arguments))  # type: ignore[arg-type]


def test_post_as_riot_sends_it_is_accepted() -> None:
    read = post(RIOT)
    assert (read.route.path, read.payload) == (SERVER, "temperature:23.5°C".encode())
    assert not read.confirmable


@pytest.mark.parametrize(
    "options",
    [
        [(OptionNumber.URI_PATH, "alive")],
        [(OptionNumber.URI_PATH, "alive"), TEXT],
        [(OptionNumber.URI_PATH, "alive"), (OptionNumber.CONTENT_FORMAT, b"\0")],
        [
            (OptionNumber.URI_HOST, "gateway"),
            (OptionNumber.URI_PORT, 5683),
            (OptionNumber.URI_PATH, "alive"),
        ],
        # Elective and unknown: left out (RFC 7252 section 5.4.1).
        [(OptionNumber.URI_PATH, "alive"), (2000, b"\x01")],
    ],
)
@pytest.mark.parametrize("mtype", [MessageType.CON, MessageType.NON])
@pytest.mark.parametrize("token", [b"", b"\xff", b"12345678"])
def test_every_form_of_a_post_is_accepted(
    options: list[tuple[int, bytes | str | int]], mtype: MessageType, token: bytes
) -> None:
    read = post(message(*options, mtype=mtype, token=token, payload=b"alive:A\xff"))
    assert (read.route.path, read.payload) == (ALIVE, b"alive:A\xff")
    assert read.confirmable == (mtype == MessageType.CON)


@pytest.mark.parametrize(
    "datagram",
    [
        message((OptionNumber.URI_PATH, "server"), code=Code.PUT),
        message((OptionNumber.URI_PATH, "server"), mtype=MessageType.ACK),
        message((OptionNumber.URI_PATH, "rd")),
        message((OptionNumber.URI_PATH, "server"), (OptionNumber.URI_PATH, "x")),
        message((OptionNumber.URI_PATH, "server"), (OptionNumber.BLOCK1, 8)),
        message((OptionNumber.URI_PATH, "server"), (OptionNumber.URI_QUERY, "a=1")),
        message((OptionNumber.URI_PATH, "server"), (OptionNumber.CONTENT_FORMAT, 112)),
        message((OptionNumber.URI_PATH, "server"), (OptionNumber.OBSERVE, 0)),
        message((OptionNumber.URI_PATH, "server"), (OptionNumber.ECHO, b"1")),
        # 0xFF in an option looks like the end of the options: that is for a whole reader.
        message((OptionNumber.URI_PATH, "server"), (2000, b"\xff\xff")),
        # Unknown critical option: the complete stack answers 4.02.
        message((OptionNumber.URI_PATH, "server"), (2001, b"")),
        message((OptionNumber.URI_PATH, "server"), payload=b""),
        message((OptionNumber.URI_PATH, "server"), payload=b"x" * (PAYLOAD_BYTES_MAX + 1)),
        RIOT[:4],
        b"",
    ],
)
def test_everything_else_is_left_to_aiocoap(datagram: bytes) -> None:
    assert read_post(datagram) is None


def test_no_truncation_of_a_post_is_another_post() -> None:
    for size in range(len(RIOT)):
        cut = read_post(RIOT[:size])
        assert cut is None or post(RIOT).payload.startswith(cut.payload)


def test_non_post_is_answered_non_with_its_token_and_our_message_id() -> None:
    reply = answer(RIOT)
    assert (reply.mtype, reply.code, reply.message_id) == (MessageType.NON, Code.CHANGED, 7)
    assert reply.token == b"\xab\xce"
    assert len(reply.to_bytes()) == 6


def test_confirmable_post_is_answered_in_its_acknowledgement() -> None:
    reply = answer(message((OptionNumber.URI_PATH, "server"), mtype=MessageType.CON))
    assert (reply.mtype, reply.code, reply.message_id) == (MessageType.ACK, Code.CHANGED, 0x1235)


def test_answer_states_when_to_try_again_and_why() -> None:
    reply = answer(RIOT, Code.SERVICE_UNAVAILABLE, max_age_s=300, words="later")
    assert decode_uint(reply.option(OptionNumber.MAX_AGE) or b"") == 300
    assert reply.payload == b"later"


@given(st.text(max_size=200), st.binary(min_size=1, max_size=20))
def test_answer_is_at_most_three_times_its_post_and_valid_text(words: str, payload: bytes) -> None:
    datagram = message((OptionNumber.URI_PATH, "alive"), payload=payload)
    written = write_response(post(datagram), Code.BAD_REQUEST, 7, words=words)
    assert len(written) <= AMPLIFICATION_MAX * len(datagram)
    assert words.startswith(CoapMessage.from_bytes(written).payload.decode())


@given(
    mtype=st.sampled_from([MessageType.CON, MessageType.NON]),
    message_id=st.integers(0, 0xFFFF),
    token=st.binary(max_size=8),
    no_response=st.integers(0, 31),
)
def test_answer_with_2_04_is_the_same_in_its_short_form(
    mtype: MessageType, message_id: int, token: bytes, no_response: int
) -> None:
    options = build_options(
        (OptionNumber.URI_PATH, "server"), (OptionNumber.NO_RESPONSE, no_response)
    )
    sent = CoapMessage(mtype, Code.POST, message_id, token, options, b"t:1")
    read = read_post(sent.to_bytes())
    assert read is not None
    assert write_changed(read) == write_response(read, Code.CHANGED, response_id(message_id))
    assert RESPONSE_IDS <= response_id(message_id) < 2 * RESPONSE_IDS


@given(
    mtype=st.sampled_from(MessageType),
    code=st.sampled_from([Code.POST, Code.GET]),
    token=st.binary(max_size=8),
    path=st.sampled_from(["server", "alive", "serve"]),
    other=st.sampled_from([(), (TEXT,), ((OptionNumber.NO_RESPONSE, 2),)]),
    payload=st.sampled_from([b"", b"t:1", b"t:", b":1", b"t", b"t:1\0", b"t: a:b ", b"t:\xff"])
    | st.binary(max_size=20),
)
def test_value_in_its_simplest_form_is_read_as_every_post(
    mtype: MessageType,
    code: int,
    token: bytes,
    path: str,
    other: tuple[tuple[int, bytes | str | int], ...],
    payload: bytes,
) -> None:
    where: tuple[int, bytes | str | int] = (OptionNumber.URI_PATH, path)
    datagram = message(where, *other, mtype=mtype, code=code, token=token, payload=payload)
    value, read = read_value(datagram), read_post(datagram)
    if value is None:
        is_simple = (
            payload in {b"t:1", b"t:", b"t: a:b "} and path == "server" and code == Code.POST
        )
        is_answered = mtype in {MessageType.CON, MessageType.NON} and other in {(), (TEXT,)}
        assert not (is_simple and is_answered)
        return
    assert read is not None
    assert read.route.path is SERVER
    assert value[2] == write_changed(read)
    if value[0].strip():
        posted = parse_value(read.payload)
        assert (value[0].strip(), value[1]) == (posted.resource, posted.data)


def test_no_truncation_of_a_value_is_another_value() -> None:
    assert read_value(RIOT) is not None
    for size in range(RIOT.index(b":")):
        assert read_value(RIOT[:size]) is None


@pytest.mark.parametrize(
    ("no_response", "unwanted"),
    [
        (0, []),
        (2, [Code.CHANGED]),
        (8, [Code.BAD_REQUEST]),
        (16, [Code.SERVICE_UNAVAILABLE]),
        (26, [Code.CHANGED, Code.BAD_REQUEST, Code.SERVICE_UNAVAILABLE]),
    ],
)
def test_answers_that_are_not_wanted_are_not_sent(no_response: int, unwanted: list[Code]) -> None:
    # RFC 7967 section 2.1.
    options: list[tuple[int, bytes | str | int]] = [
        (OptionNumber.URI_PATH, "server"),
        TEXT,
        (OptionNumber.NO_RESPONSE, no_response),
    ]
    for code in (Code.CHANGED, Code.BAD_REQUEST, Code.SERVICE_UNAVAILABLE):
        written = write_response(post(message(*options)), code, 7)
        assert (written == b"") == (code in unwanted)
        acknowledged = write_response(post(message(*options, mtype=MessageType.CON)), code, 7)
        reply = CoapMessage.from_bytes(acknowledged)
        assert (reply.mtype, reply.message_id) == (MessageType.ACK, 0x1235)
        assert reply.code == (Code.EMPTY if code in unwanted else code)


def test_request_too_many_is_refused_only_where_it_must_be_answered() -> None:
    requested = message((OptionNumber.URI_PATH, "x"), mtype=MessageType.CON, code=Code.GET)
    reply = CoapMessage.from_bytes(write_too_many(requested, 3))
    assert (reply.mtype, reply.code, reply.token) == (
        MessageType.ACK,
        Code.TOO_MANY_REQUESTS,
        b"\xab\xce",
    )
    assert reply.option(OptionNumber.MAX_AGE) == b"\x03"
    assert write_too_many(RIOT, 3) == b""
    assert write_too_many(b"\x40\x00\x00\x01", 3) == b""
    assert write_too_many(b"", 3) == b""
