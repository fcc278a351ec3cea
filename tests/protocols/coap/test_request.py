# SPDX-License-Identifier: BSD-3-Clause
"""What is checked of each request, and what is answered when it fails."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.request import (
    is_request,
    option_problem,
    read_datagram,
    suppresses,
    write_error,
)

CON, NON, ACK, RST = MessageType


def request(*options: tuple[int, bytes | str | int], mtype: MessageType = CON) -> CoapMessage:
    return CoapMessage(mtype, Code.POST, 7, b"tk", build_options(*options))


@pytest.mark.parametrize("code", [0x20, 0x3F, 0xC0, 0xDF, 0xE1, 0xFF])
def test_code_of_a_reserved_class_is_a_format_error(code: int) -> None:
    with pytest.raises(ProtocolError, match="reserved"):
        read_datagram(bytes((0x40, code, 0, 1)))


@pytest.mark.parametrize("code", [0x00, 0x02, 0x1F, 0x45, 0x84, 0xA0])
def test_other_codes_are_read(code: int) -> None:
    message = read_datagram(bytes((0x40, code, 0, 1)))
    assert message.code == code
    assert is_request(message) is (0 < code < 0x20)


@pytest.mark.parametrize(
    "options",
    [
        ((OptionNumber.ACCEPT, 0), (OptionNumber.ACCEPT, 0)),
        ((OptionNumber.URI_HOST, "a"), (OptionNumber.URI_HOST, "a")),
        ((OptionNumber.URI_PORT, 1), (OptionNumber.URI_PORT, 1)),
        ((OptionNumber.BLOCK1, 8), (OptionNumber.BLOCK1, 8)),
        ((OptionNumber.BLOCK2, 0), (OptionNumber.BLOCK2, 0)),
        ((OptionNumber.ACCEPT, b"\0\0\0"),),
        ((OptionNumber.URI_HOST, b""),),
        ((OptionNumber.URI_PORT, b"\0\0\1"),),
        ((OptionNumber.URI_PATH, b"x" * 256),),
        ((OptionNumber.URI_QUERY, b"x" * 256),),
        ((OptionNumber.BLOCK1, b"\0\0\0\0"),),
        ((OptionNumber.IF_NONE_MATCH, b""),),
        ((OptionNumber.OSCORE, b""),),
        ((2053, b"x"),),
    ],
    ids=str,
)
def test_critical_option_that_is_repeated_of_a_wrong_length_or_unknown_is_a_problem(
    options: tuple[tuple[int, bytes | str | int], ...],
) -> None:
    assert option_problem(request((OptionNumber.URI_PATH, "server"), *options))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ((OptionNumber.URI_PATH, "rd"), (OptionNumber.URI_PATH, "")),
        ((OptionNumber.URI_QUERY, "ep=a"), (OptionNumber.URI_QUERY, "lt=60")),
        ((OptionNumber.ACCEPT, 40), (OptionNumber.BLOCK2, 1)),
        ((OptionNumber.PROXY_URI, "coap://elsewhere"),),
        # Elective ones that are wrong or unknown are ignored (RFC 7252 section 5.4.1).
        ((OptionNumber.CONTENT_FORMAT, 0), (OptionNumber.CONTENT_FORMAT, 0)),
        ((OptionNumber.SIZE1, b"12345"), (2054, b"x")),
    ],
    ids=str,
)
def test_options_that_are_in_order_are_no_problem(
    options: tuple[tuple[int, bytes | str | int], ...],
) -> None:
    assert option_problem(request(*options)) == ""


def test_error_is_of_the_type_of_the_request() -> None:
    answer = CoapMessage.from_bytes(write_error(request(), Code.BAD_OPTION, 99))
    assert answer == CoapMessage(ACK, Code.BAD_OPTION, 7, b"tk")
    written = write_error(request(mtype=NON), Code.BAD_OPTION, 99, (OptionNumber.MAX_AGE, 5))
    answer = CoapMessage.from_bytes(written)
    options = ((int(OptionNumber.MAX_AGE), b"\5"),)
    assert answer == CoapMessage(NON, Code.BAD_OPTION, 99, b"tk", options)


@pytest.mark.parametrize(
    ("value", "code", "suppressed"),
    [
        (b"\x02", Code.CHANGED, True),
        (b"\x02", Code.BAD_OPTION, False),
        (b"\x08", Code.BAD_OPTION, True),
        (b"\x1a", Code.SERVICE_UNAVAILABLE, True),
        (b"", Code.BAD_OPTION, False),
        (b"\x00\x08", Code.BAD_OPTION, False),
    ],
)
def test_error_that_the_client_does_not_want_is_not_sent(
    value: bytes, code: Code, *, suppressed: bool
) -> None:
    for mtype, instead in ((NON, b""), (CON, bytes((0x60, 0, 0, 7)))):
        requested = request((OptionNumber.NO_RESPONSE, value), mtype=mtype)
        assert suppresses(requested, code) is suppressed
        assert (write_error(requested, code, 99) == instead) is suppressed
