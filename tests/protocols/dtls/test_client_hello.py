# SPDX-License-Identifier: BSD-3-Clause
"""The ClientHellos of deployed clients, and those that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.dtls.client_hello import ClientHello, is_client_hello
from pyaiot.protocols.dtls.numbers import DTLS_1_0, DTLS_1_2
from tests.protocols.dtls import hellos

PSK_AES128_CCM8 = b"\xc0\xa8"


@pytest.mark.parametrize("client", hellos.ALL)
def test_hello_of_a_deployed_client_is_read(client: str) -> None:
    datagram = hellos.ALL[client]
    hello = ClientHello.from_bytes(datagram)
    assert is_client_hello(datagram)
    assert hello.version == DTLS_1_2
    assert hello.cookie == b""
    assert hello.message_sequence == hello.record_sequence == 0
    suites = [hello.cipher_suites[i : i + 2] for i in range(0, len(hello.cipher_suites), 2)]
    assert PSK_AES128_CCM8 in suites
    assert hello.compression_methods == b"\0"


def test_second_hello_has_the_cookie_and_the_same_parameters() -> None:
    first = ClientHello.from_bytes(hellos.riot())
    second = ClientHello.from_bytes(hellos.riot(b"cookie", sequence=1))
    assert second.cookie == b"cookie"
    assert second.message_sequence == second.record_sequence == 1
    assert second.parameters == first.parameters


@pytest.mark.parametrize("client", hellos.ALL)
def test_each_prefix_of_a_hello_is_refused(client: str) -> None:
    datagram = hellos.ALL[client]
    for length in range(len(datagram)):
        with pytest.raises(NotEnoughBytes):
            ClientHello.from_bytes(datagram[:length])


def changed(at: int, value: bytes) -> bytes:
    return hellos.riot()[:at] + value + hellos.riot()[at + len(value) :]


@pytest.mark.parametrize(
    ("datagram", "problem"),
    [
        (changed(0, b"\x17"), "not the beginning"),
        (changed(4, b"\x01"), "not the beginning"),
        (changed(1, b"\x03\x03"), "not a version of DTLS"),
        (changed(13, b"\x02"), "not a ClientHello"),
        (changed(19, b"\0\0\x01"), "fragmented"),
        (changed(22, b"\0\0\x05"), "fragmented"),
        (changed(25, DTLS_1_0.to_bytes(2)), "does not offer DTLS 1.2"),
        (changed(59, b"\x21"), "ends too early"),
        (changed(11, b"\xff\xff"), "bytes in a record"),
    ],
)
def test_hello_that_cannot_begin_a_handshake_is_refused(datagram: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        ClientHello.from_bytes(datagram)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    is_client_hello(data)
    try:
        ClientHello.from_bytes(data)
    except ProtocolError:
        return
    assert is_client_hello(data)


@given(
    st.tuples(*[st.binary(max_size=4)] * 2),
    st.tuples(*[st.binary(max_size=4)] * 2),
)
def test_different_parameters_are_different_bytes(
    one: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    def parameters(session_id: bytes, suites: bytes) -> bytes:
        return ClientHello(
            DTLS_1_2, 0, 0, DTLS_1_2, bytes(32), session_id, b"", suites, b"\0"
        ).parameters

    assert (parameters(*one) == parameters(*other)) == (one == other)
