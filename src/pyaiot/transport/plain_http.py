# SPDX-License-Identifier: BSD-3-Clause
"""The answer to a request without TLS at a port that requires TLS. Pure.

A browser whose user typed the address without `https://` is redirected.
"""

import re
from typing import Final

REQUEST_SIZE_MAX: Final = 8192
"""Bytes of such a request that are read. A `Host` after them is not found, and the answer is
400."""
_TARGET: Final = re.compile(rb"(?:GET|HEAD) (/[\x21-\x7e]*) HTTP/1\.[01]\r\n")
"""A request line in origin-form (RFC 9112 section 3.2.1)."""
_HOST: Final = re.compile(rb"(?i)(?<=\r\n)host:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_AUTHORITY: Final = re.compile(rb"(?i)(?:[0-9a-z.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?")


def is_plain_http(data: bytes) -> bool:
    """Whether a connection begins with a letter, as HTTP does. TLS begins with a control byte."""
    return data[:1].isalpha()


def answer_to_plain_http(data: bytes) -> bytes:
    """The response to the first bytes of a request: a redirect to `https://`, or 400."""
    target = _TARGET.match(data)
    hosts = _HOST.findall(data)
    head, location = b"400 Bad Request", b""
    if target is not None and len(hosts) == 1 and _AUTHORITY.fullmatch(hosts[0]):
        # Temporary: the port may be served without TLS again.
        head, location = b"307 Temporary Redirect", b"https://" + hosts[0] + target[1]
    text = b"This port requires TLS: use https:// in place of http://.\n"
    return (
        b"HTTP/1.1 %b\r\n%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b"
        % (head, b"Location: %b\r\n" % location if location else b"", len(text), text)
    )
