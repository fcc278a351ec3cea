# SPDX-License-Identifier: BSD-3-Clause
"""Responses of nodes to `GET /.well-known/core`."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.link_format import (
    LINKS_MAX,
    format_links,
    parse_links,
    path_segments,
    query_arguments,
    read_links,
    resource_name,
    resource_uri,
)

CORPUS: list[bytes] = [
    b"",
    b"</board>,</led>,</mcu>,</name>,</os>",
    b'</cli/stats>;ct=0;rt="count";obs',
    b'</sensors>;ct=40;title="Sensor Index",</sensors/temp>;rt="temperature-c";if="sensor"',
    b'<http://www.example.com/sensors/t123>;anchor="/sensors/temp";rel="describedby"',
    b"<coap://[2001:db8::1]/rd/?ep=n&lt=60#x>;sz=262144",
    b'</a>;title="1, 2; <3> \\"4\\" \\\\";t="",</caf%C3%A9>;title="caf\xc3\xa9"',
    b" </a> ;\r\n ct = \"0 40\" ;; OBS ; title*=UTF-8''x , ,</rd/>;rt=a;rt=b,",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; parsed links can be formatted and parsed again."""
    for link in read_links(data).links:
        with contextlib.suppress(ProtocolError):
            name = resource_name(link.uri or "/")
            assert resource_name(resource_uri(name)) == name
    try:
        links, cut = parse_links(data)
    except ProtocolError:
        return
    assert len(links) <= LINKS_MAX
    assert not cut or len(links) == LINKS_MAX
    assert parse_links(format_links(links)) == (links, False)
    for link in links:
        assert link.has("rt") or not link.values("rt")
        assert link.path is None or link.path.startswith("/")
        with contextlib.suppress(ProtocolError):
            path_segments(link.path or "")
        with contextlib.suppress(ProtocolError):
            query_arguments(link.query)
