# SPDX-License-Identifier: BSD-3-Clause
"""Queries of endpoints to the resource directory, one Uri-Query option a line."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.resource_directory import (
    ATTRIBUTES_MAX,
    LIFETIME_LIMIT_S,
    NAME_BYTES_MAX,
    absolute,
    matches,
    read_lookup,
    read_parameters,
    values_of,
)
from pyaiot.protocols.link_format import CoreLink, format_links, parse_links

CORPUS: list[bytes] = [
    b"ep=node1\nlt=60",
    b"ep=n\nd=floor-3\nlt=4294967295\nbase=coap://[2001:db8::1]:61616\net=oic.d.sensor",
    b"rt=core.s*\nhref=/sensors/*\npage=1\ncount=5",
    b"lt=0",
    b"base=coap://[",
    "ep=\u00e4\u202e".encode(),
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid queries raise `ProtocolError`; parsed queries are within the limits."""
    arguments = data.decode("utf-8", "replace").split("\n")
    link = CoreLink("/a", (("rt", "core.s x"), ("obs", None)))
    try:
        parameters = read_parameters(arguments)
    except ProtocolError:
        pass
    else:
        assert (
            parameters.endpoint is None or 0 < len(parameters.endpoint.encode()) <= NAME_BYTES_MAX
        )
        assert parameters.lifetime_s is None or 0 < parameters.lifetime_s <= LIFETIME_LIMIT_S
        assert len(parameters.attributes) <= ATTRIBUTES_MAX
        written = CoreLink(
            "/rd/1", tuple((name.lower(), value) for name, value in parameters.attributes)
        )
        assert parse_links(format_links([written, absolute(link, "coap://[::1]")]))
    try:
        lookup = read_lookup(arguments)
    except ProtocolError:
        return
    for name, value in lookup.filters:
        assert isinstance(matches(value, values_of(link, name)), bool)
    assert len(lookup.part([link] * 3)) <= 3
