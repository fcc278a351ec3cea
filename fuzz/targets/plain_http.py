# SPDX-License-Identifier: BSD-3-Clause
"""The first bytes of a request without TLS at a port that requires it."""

from pyaiot.transport.plain_http import answer_to_plain_http, is_plain_http

CORPUS: list[bytes] = [
    b"GET / HTTP/1.1\r\nHost: pi.lan:8000\r\n\r\n",
    b"HEAD /login?token=x HTTP/1.0\r\nhost:\t[2001:db8::1]:8000 \r\nAccept: */*\r\n\r\n",
    b"POST /api/commands HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"",
]


def fuzz_one(data: bytes) -> None:
    """The answer is one response, whose target begins with `https://`."""
    is_plain_http(data)
    head, separator, body = answer_to_plain_http(data).partition(b"\r\n\r\n")
    assert separator
    status, *fields = head.split(b"\r\n")
    assert status.startswith((b"HTTP/1.1 307 ", b"HTTP/1.1 400 "))
    names = [field.partition(b": ")[0] for field in fields]
    redirects = [b"Location"] if status.startswith(b"HTTP/1.1 307") else []
    assert names == [*redirects, b"Content-Type", b"Content-Length", b"Connection"]
    assert not redirects or fields[0].startswith(b"Location: https://")
    assert b"\r" not in body
