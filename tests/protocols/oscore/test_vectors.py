# SPDX-License-Identifier: BSD-3-Clause
"""The test vectors of RFC 8613, Appendix C."""

from typing import NamedTuple

import pytest

from pyaiot.protocols.oscore.context import RequestIds, SecurityContext, additional_data
from pyaiot.protocols.oscore.messages import (
    is_protected,
    protect_request,
    protect_response,
    read_protected,
    unprotect_request,
    unprotect_response,
)
from pyaiot.protocols.oscore.option import OscoreOption

SECRET = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
SALT = bytes.fromhex("9e7ca92223786340")
ID_CONTEXT = bytes.fromhex("37cbf3210017a2d3")


class Pair(NamedTuple):
    client: SecurityContext
    server: SecurityContext


def pair(
    client_id: str, server_id: str, salt: bytes = SALT, id_context: bytes | None = None
) -> Pair:
    """Client and server of one test vector."""
    one, other = bytes.fromhex(client_id), bytes.fromhex(server_id)
    return Pair(
        SecurityContext(
            SECRET, sender_id=one, recipient_id=other, master_salt=salt, id_context=id_context
        ),
        SecurityContext(
            SECRET, sender_id=other, recipient_id=one, master_salt=salt, id_context=id_context
        ),
    )


C1 = pair("", "01")
C2 = pair("00", "01", b"")
C3 = pair("", "01", id_context=ID_CONTEXT)


@pytest.mark.parametrize(
    ("contexts", "client_nonce", "server_nonce"),
    [
        (C1, "4622d4dd6d944168eefb54987c", "4722d4dd6d944169eefb54987c"),
        (C2, "bf35ae297d2dace910c52e99f9", "bf35ae297d2dace810c52e99f9"),
        (C3, "2ca58fb85ff1b81c0b7181b85e", "2da58fb85ff1b81d0b7181b85e"),
    ],
)
def test_nonces(contexts: Pair, client_nonce: str, server_nonce: str) -> None:
    """Appendices C.1 to C.3: the common IV and the ids are in the nonces."""
    client, server = contexts
    assert client.sender_nonce(0).hex() == server.recipient_nonce(0).hex() == client_nonce
    assert server.sender_nonce(0).hex() == client.recipient_nonce(0).hex() == server_nonce


@pytest.mark.parametrize(
    ("contexts", "id_and_token", "option", "ciphertext"),
    [
        (C1, "5d1f00003974", "620914", "612f1092f1776f1c1668b3825e"),  # C.4
        (C2, "71c30000b933", "63091400", "4ed339a5a379b0b8bc731fffb0"),  # C.5
        (C3, "2f8eef9bbf7a", "6b19140837cbf3210017a2d3", "72cd7273fd331ac45cffbe55c3"),  # C.6
    ],
)
def test_requests(contexts: Pair, id_and_token: str, option: str, ciphertext: str) -> None:
    uri_host = "396c6f63616c686f7374"  # outside, and not part of the plaintext
    datagram = bytes.fromhex("4402" + id_and_token + uri_host + option + "ff" + ciphertext)
    assert is_protected(datagram)
    message = read_protected(datagram)
    inner = unprotect_request(contexts.server, message)
    assert inner.hex() == "4401" + id_and_token + "b3747631"  # GET /tv1

    again, ids = protect_request(contexts.client, inner, 20)
    assert ids == RequestIds(contexts.client.sender_id, b"\x14")
    assert again.hex().endswith("ff" + ciphertext)
    sent = read_protected(again).option
    assert sent == OscoreOption(b"\x14", contexts.client.sender_id)


@pytest.mark.parametrize(
    ("number", "protected"),
    [
        # C.7 and C.8
        (None, "64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106"),
        (0, "64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"),
    ],
)
def test_responses(number: int | None, protected: str) -> None:
    ids = RequestIds(b"", b"\x14")
    plain = bytes.fromhex("64455d1f00003974ff48656c6c6f20576f726c6421")
    datagram = bytes.fromhex(protected)
    assert protect_response(C1.server, plain, ids, number) == datagram
    assert unprotect_response(C1.client, read_protected(datagram), ids) == plain


def test_additional_data() -> None:
    """Appendix C.4."""
    assert (
        additional_data(RequestIds(b"", b"\x14")).hex()
        == "8368456e63727970743040488501810a40411440"
    )
