# SPDX-License-Identifier: BSD-3-Clause
"""What a browser without TLS gets from a port with TLS."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.transport.plain_http import answer_to_plain_http, is_plain_http


def request(
    host: str = "pi.lan:8000", *, line: str = "GET /a?b=c HTTP/1.1", more: str = ""
) -> bytes:
    return f"{line}\r\nHost: {host}\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    "host", ["pi.lan:8000", "192.0.2.7:8000", "[2001:db8::1]:8000", "localhost"]
)
def test_browser_is_redirected_to_the_same_page(host: str) -> None:
    answer = answer_to_plain_http(request(host))
    assert answer.startswith(b"HTTP/1.1 307 ")
    assert f"\r\nLocation: https://{host}/a?b=c\r\n".encode() in answer


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"hello\r\n\r\n",
        request(line="POST / HTTP/1.1"),
        request(line="GET http://pi.lan/ HTTP/1.1"),
        request(line="GET / HTTP/2.0"),
        request("a b"),
        request("a/../b"),
        request("user@pi.lan"),
        request(more="Host: other.example\r\n"),
        request().replace(b"Host", b"Hosts"),
    ],
)
def test_answer_to_other_requests_names_tls(data: bytes) -> None:
    answer = answer_to_plain_http(data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https://" in answer
    assert b"Location" not in answer


@given(
    st.binary(max_size=300) | st.builds(request, st.text(max_size=30), more=st.text(max_size=30))
)
def test_answer_to_any_bytes_is_one_response(data: bytes) -> None:
    head, _, body = answer_to_plain_http(data).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 (307|400) [A-Za-z ]+", lines[0])
    assert len(lines) == 4 + lines[0].startswith(b"HTTP/1.1 307")
    assert b"Content-Length: %d" % len(body) in lines


def test_tls_is_not_plain_http() -> None:
    assert is_plain_http(b"GET / HTTP/1.1")
    assert is_plain_http(b"get")
    for data in (b"\x16\x03\x01", b"\x80\x2e\x01", b"\r\n", b""):
        assert not is_plain_http(data)
