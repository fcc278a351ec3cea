# SPDX-License-Identifier: BSD-3-Clause
"""Datagrams that may begin a handshake of DTLS."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.dtls.client_hello import ClientHello, is_client_hello
from pyaiot.protocols.dtls.cookies import Cookies, hello_verify_request

_BODY = b"\xfe\xfd" + bytes(range(32)) + b"\0" + b"\0" + b"\0\x02\xc0\xa8" + b"\x01\0"
_HELLO = b"\x01" + len(_BODY).to_bytes(3) + b"\0\0\0\0\0" + len(_BODY).to_bytes(3) + _BODY
CORPUS: list[bytes] = [
    b"\x16\xfe\xfd" + bytes(8) + len(_HELLO).to_bytes(2) + _HELLO,
    b"\x16\xfe\xff" + bytes(7) + b"\x07" + len(_HELLO).to_bytes(2) + _HELLO,
    b"\x16\xfe\xfd\0\x01" + bytes(6) + b"\0\x01\x01",
    b"",
]
_COOKIES = Cookies(bytes(32))


def fuzz_one(data: bytes) -> None:
    """The answer is never larger than the ClientHello; a cookie is valid for its sender only."""
    with contextlib.suppress(ProtocolError):
        hello = ClientHello.from_bytes(data)
        assert is_client_hello(data)
        cookie = _COOKIES.cookie_for(hello, b"a", now=1.0)
        assert len(hello_verify_request(hello, cookie)) <= len(data)
        assert cookie != _COOKIES.cookie_for(hello, b"b", now=1.0)
