# SPDX-License-Identifier: BSD-3-Clause
"""Which clients have a valid cookie, and the cost of getting one."""

import pytest

from pyaiot.protocols.dtls.client_hello import ClientHello
from pyaiot.protocols.dtls.cookies import COOKIE_PERIOD_S, Cookies, hello_verify_request
from pyaiot.protocols.dtls.numbers import DTLS_1_0, ContentType
from pyaiot.protocols.dtls.records import DtlsRecord
from tests.protocols.dtls import hellos

COOKIES = Cookies(b"s" * 32)
FIRST = ClientHello.from_bytes(hellos.riot())
ADDRESS = b"fe80::1 49152"


def second(*, made_at: float = 0.0, address: bytes = ADDRESS) -> ClientHello:
    cookie = COOKIES.cookie_for(FIRST, address, now=made_at)
    return ClientHello.from_bytes(hellos.riot(cookie, sequence=1))


def test_cookie_is_valid_at_the_address_that_received_it() -> None:
    assert COOKIES.is_valid(second(), ADDRESS, now=1.0)


def test_cookie_is_not_valid_at_another_address() -> None:
    assert not COOKIES.is_valid(second(), b"fe80::1 49153", now=1.0)


def test_cookie_is_not_valid_for_other_parameters() -> None:
    cookie = COOKIES.cookie_for(FIRST, ADDRESS, now=0.0)
    other = bytearray(hellos.riot(cookie, sequence=1))
    other[30] ^= 1  # in the random bytes of the client
    assert not COOKIES.is_valid(ClientHello.from_bytes(bytes(other)), ADDRESS, now=1.0)


def test_cookie_of_another_gateway_is_not_valid() -> None:
    assert not Cookies(b"t" * 32).is_valid(second(), ADDRESS, now=1.0)


@pytest.mark.parametrize("cookie", [b"", b"x", bytes(16), bytes(255)])
def test_made_up_cookie_is_not_valid(cookie: bytes) -> None:
    hello = ClientHello.from_bytes(hellos.riot(cookie, sequence=1))
    assert not COOKIES.is_valid(hello, ADDRESS, now=1.0)


def test_cookie_expires_after_one_to_two_periods() -> None:
    assert COOKIES.is_valid(second(), ADDRESS, now=2 * COOKIE_PERIOD_S - 1)
    assert not COOKIES.is_valid(second(), ADDRESS, now=2 * COOKIE_PERIOD_S)


@pytest.mark.parametrize("client", hellos.ALL)
def test_answer_to_a_hello_is_smaller_than_it(client: str) -> None:
    datagram = hellos.ALL[client]
    hello = ClientHello.from_bytes(datagram)
    answer = hello_verify_request(hello, COOKIES.cookie_for(hello, ADDRESS, now=0.0))
    assert len(answer) < len(datagram)
    record = DtlsRecord.from_bytes(answer)
    assert record.to_bytes() == answer
    assert record.content_type == ContentType.HANDSHAKE
    assert record.version == hello.record_version
    assert record.fragment[12:14] == DTLS_1_0.to_bytes(2)


def test_answer_has_the_sequence_number_of_the_hello() -> None:
    hello = ClientHello.from_bytes(hellos.riot(sequence=7))
    assert DtlsRecord.from_bytes(hello_verify_request(hello, b"c")).sequence_number == 7
