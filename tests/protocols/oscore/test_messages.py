# SPDX-License-Identifier: BSD-3-Clause
"""Protected messages, between two endpoints, and from a peer that sends nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.oscore.context import SEQUENCE_NUMBERS, SecurityContext
from pyaiot.protocols.oscore.messages import (
    Unacceptable,
    is_protected,
    protect_request,
    protect_response,
    read_protected,
    unprotect_request,
    unprotect_response,
)
from pyaiot.protocols.oscore.option import OscoreOption, encode_partial_iv

SECRET = bytes(range(16))
CLIENT = SecurityContext(SECRET, sender_id=b"\x01\x02", recipient_id=b"\x00")
SERVER = SecurityContext(SECRET, sender_id=b"\x00", recipient_id=b"\x01\x02")
OTHER = SecurityContext(bytes(16), sender_id=b"\x01\x02", recipient_id=b"\x00")


def request(*options: tuple[int, bytes | str | int], payload: bytes = b"led:1") -> bytes:
    message = CoapMessage(
        MessageType.CON, Code.POST, 7, b"token", build_options((11, "server"), *options), payload
    )
    return message.to_bytes()


PLAIN = request()
PROTECTED, IDS = protect_request(CLIENT, PLAIN, 5)
RESPONSE = CoapMessage(MessageType.ACK, Code.CHANGED, 7, b"token", (), b"done").to_bytes()


def outer(*options: tuple[int, bytes | str | int], payload: bytes = bytes(20)) -> bytes:
    encoded = build_options(*options)
    return CoapMessage(MessageType.CON, Code.POST, 7, b"token", encoded, payload).to_bytes()


OPTION = (9, OscoreOption(b"\x05", b"\x01\x02").to_bytes())


@given(
    st.binary(max_size=8),
    st.binary(max_size=300),
    st.integers(0, SEQUENCE_NUMBERS - 1),
    st.booleans(),
)
def test_what_one_endpoint_protects_the_other_one_reads(
    token: bytes, payload: bytes, number: int, own_number: bool
) -> None:
    options = build_options((11, "a"), (15, "b=c"), (27, 8))
    plain = CoapMessage(MessageType.NON, Code.PUT, 9, token, options, payload).to_bytes()
    protected, ids = protect_request(CLIENT, plain, number)
    assert is_protected(protected)
    message = read_protected(protected)
    assert message.token == token
    assert unprotect_request(SERVER, message) == plain
    answer = CoapMessage(MessageType.NON, Code.CONTENT, 1, token, (), payload).to_bytes()
    sent = protect_response(SERVER, answer, ids, number if own_number else None)
    assert is_protected(sent)
    assert unprotect_response(CLIENT, read_protected(sent), ids) == answer


def test_nothing_of_the_request_is_readable() -> None:
    assert b"server" not in PROTECTED
    assert b"led" not in PROTECTED
    message = CoapMessage.from_bytes(PROTECTED)
    assert (message.code, message.token, message.message_id) == (Code.POST, b"token", 7)
    assert [number for number, _ in message.options] == [OptionNumber.OSCORE]


def test_observe_stands_outside_too() -> None:
    plain = CoapMessage(
        MessageType.CON, Code.GET, 7, b"t", build_options((6, 0), (11, "led"))
    ).to_bytes()
    protected, ids = protect_request(CLIENT, plain, 70_000)
    message = CoapMessage.from_bytes(protected)
    assert message.code == Code.FETCH
    assert message.option(OptionNumber.OBSERVE) == b""
    assert unprotect_request(SERVER, read_protected(protected)) == plain
    # RFC 8613 section 7.4.1: notifications are in the order of their sequence numbers.
    notification = CoapMessage(
        MessageType.NON, Code.CONTENT, 1, b"t", build_options((6, b"")), b"1"
    ).to_bytes()
    sent = protect_response(SERVER, notification, ids, 0x1_020304)
    received = CoapMessage.from_bytes(unprotect_response(CLIENT, read_protected(sent), ids))
    assert received.option(OptionNumber.OBSERVE) == b"\x02\x03\x04"


@pytest.mark.parametrize("context", [OTHER, CLIENT])
def test_message_of_another_context_is_refused(context: SecurityContext) -> None:
    with pytest.raises(Unacceptable) as caught:
        unprotect_request(context, read_protected(PROTECTED))
    assert caught.value.code == Code.BAD_REQUEST


@given(st.data())
def test_changed_bytes_are_noticed(data: st.DataObject) -> None:
    """Each byte behind the token is protected. The kid selects the context."""
    index = data.draw(st.integers(9, len(PROTECTED) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = PROTECTED[:index] + bytes((PROTECTED[index] ^ 1 << bit,)) + PROTECTED[index + 1 :]
    if not is_protected(changed):
        return
    with pytest.raises(ProtocolError):
        receive(changed)


def receive(datagram: bytes) -> bytes:
    message = read_protected(datagram)
    if message.option.kid != CLIENT.sender_id:
        raise ProtocolError("unknown context")
    return unprotect_request(SERVER, message)


def test_response_belongs_to_one_request() -> None:
    sent = read_protected(protect_response(SERVER, RESPONSE, IDS))
    assert unprotect_response(CLIENT, sent, IDS) == RESPONSE
    _, other = protect_request(CLIENT, PLAIN, 6)
    with pytest.raises(ProtocolError):
        unprotect_response(CLIENT, sent, other)


@pytest.mark.parametrize(
    ("datagram", "code"),
    [
        (outer((9, b"")), Code.BAD_OPTION),  # a request without Partial IV
        (outer(OPTION, OPTION), Code.BAD_OPTION),
        (outer(OPTION, payload=b""), Code.BAD_OPTION),
        (outer((9, b"\x0f" + bytes(5))), Code.BAD_OPTION),
        (outer(OPTION, (27, 8)), Code.BAD_OPTION),
        (outer(OPTION, (65_001, b"")), Code.BAD_OPTION),
        (outer(OPTION, (35, "coap://other/")), Code.PROXYING_NOT_SUPPORTED),
        (outer(OPTION, payload=bytes(8)), Code.BAD_REQUEST),
        (outer(OPTION), Code.BAD_REQUEST),
    ],
)
def test_unacceptable_request_has_an_answer(datagram: bytes, code: Code) -> None:
    assert is_protected(datagram)
    with pytest.raises(Unacceptable) as caught:
        unprotect_request(SERVER, read_protected(datagram))
    assert caught.value.code == code


def test_elective_options_and_the_virtual_host_may_stand_outside() -> None:
    ciphertext = read_protected(PROTECTED).ciphertext
    datagram = outer((3, "gateway"), (7, 5683), OPTION, (14, 0), (258, 2), payload=ciphertext)
    assert unprotect_request(SERVER, read_protected(datagram)) == PLAIN


@pytest.mark.parametrize("code", [Code.EMPTY, Code.CONTENT])
def test_other_code_inside_a_request_is_refused(code: Code) -> None:
    plain = bytes((0x40, code, 0, 7, 0xFF, 1))
    protected, _ = protect_request(CLIENT, bytes((0x40, 2, 0, 7, 0xFF, 1)), 1)
    number = CLIENT.encrypt(
        plain[1:2] + plain[4:], CLIENT.sender_nonce(1), IDS._replace(partial_iv=b"\x01")
    )
    option = read_protected(protected).option.to_bytes()
    with pytest.raises(Unacceptable, match="no request"):
        unprotect_request(SERVER, read_protected(outer((9, option), payload=number)))


@given(st.binary(max_size=80))
def test_any_datagram_is_read_or_refused(datagram: bytes) -> None:
    if not is_protected(datagram):
        return
    try:
        message = read_protected(datagram)
        with pytest.raises(ProtocolError):
            unprotect_request(SERVER, message)
    except ProtocolError:
        pass


@given(st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=300)), max_size=4))
def test_option_is_found_behind_others(options: list[tuple[int, bytes]]) -> None:
    datagram = outer(*options)
    before = [value for number, value in options if number < 9]
    if all(len(value) < 269 for value in before):
        assert is_protected(datagram) == any(number == 9 for number, _ in options)


@pytest.mark.parametrize("prefix", range(len(PROTECTED)))
def test_truncated_message_is_refused(prefix: int) -> None:
    datagram = PROTECTED[:prefix]
    if is_protected(datagram):
        with pytest.raises(ProtocolError):
            unprotect_request(SERVER, read_protected(datagram))


def test_request_to_a_proxy_is_not_protected() -> None:
    with pytest.raises(ValueError, match="proxy"):
        protect_request(CLIENT, request((35, "coap://a/")), 1)


@given(
    st.binary(max_size=5),
    st.none() | st.binary(max_size=7),
    st.none() | st.binary(max_size=20),
)
def test_option_value_is_read_as_written(
    partial_iv: bytes, kid: bytes | None, kid_context: bytes | None
) -> None:
    option = OscoreOption(partial_iv, kid, kid_context)
    assert OscoreOption.from_bytes(option.to_bytes()) == option


@pytest.mark.parametrize("value", ["00", "06", "20", "0501", "10", "100201", "010102"])
def test_malformed_option_value_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError):
        OscoreOption.from_bytes(bytes.fromhex(value))


def test_partial_iv_has_no_leading_zeros() -> None:
    assert [encode_partial_iv(number).hex() for number in (0, 255, 256)] == ["00", "ff", "0100"]


@pytest.mark.parametrize(("one", "other"), [(b"a", b"a"), (bytes(8), b""), (b"", bytes(8))])
def test_ids_that_do_not_fit_are_refused(one: bytes, other: bytes) -> None:
    with pytest.raises(ValueError, match="ids"):
        SecurityContext(SECRET, sender_id=one, recipient_id=other)
