# SPDX-License-Identifier: BSD-3-Clause
"""Queries of endpoints to the resource directory."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.resource_directory import (
    ATTRIBUTES_MAX,
    COUNT_MAX,
    NAME_BYTES_MAX,
    Lookup,
    RegistrationParameters,
    absolute,
    matches,
    read_lookup,
    read_parameters,
    uri,
)
from pyaiot.protocols.link_format import CoreLink, format_links


def test_registration_is_read() -> None:
    arguments = ("ep=node1", "lt=60", "d=floor-3", "base=coap://[2001:db8::1]:61616", "et=oic.d.s")
    assert read_parameters(arguments) == RegistrationParameters(
        "node1", "floor-3", 60, ("2001:db8::1", 61616), (("et", "oic.d.s"),)
    )
    assert read_parameters(()) == RegistrationParameters()
    assert read_parameters(("base=coap://10.0.0.1/",)).base == ("10.0.0.1", 5683)


@pytest.mark.parametrize(
    "argument",
    [
        *("ep=", "ep", "ep=" + "x" * (NAME_BYTES_MAX + 1), "ep=a\tb", "ep=" + "ä" * 32),
        *("lt=0", "lt=", "lt=-1", "lt=1.5", "lt=4294967296", "lt=²", "lt= 1"),
        *("base=", "base=coaps://h", "base=coap://", "base=coap://[", "base=coap://h/path"),
        *("base=coap://u@h", "base=coap://h:99999", "x y=1", "et=\x00", "=1"),
    ],
)
def test_wrong_argument_is_refused(argument: str) -> None:
    with pytest.raises(ProtocolError):
        read_parameters((argument,))


def test_argument_that_stands_twice_is_refused() -> None:
    with pytest.raises(ProtocolError, match="is repeated"):
        read_parameters(("ep=a", "ep=b"))


def test_attributes_are_limited() -> None:
    names = [f"a{number}=x" for number in range(ATTRIBUTES_MAX + 1)]
    assert len(read_parameters(names[1:]).attributes) == ATTRIBUTES_MAX
    for read in (read_parameters, read_lookup):
        with pytest.raises(ProtocolError, match="more than"):
            read(names)


def test_lookup_returns_the_requested_part() -> None:
    lookup = read_lookup(("rt=core.s*", "page=1", "count=2"))
    assert lookup == Lookup((("rt", "core.s*"),), 1, 2)
    links = [CoreLink(f"/{number}") for number in range(5)]
    assert lookup.part(links) == links[2:4]
    assert Lookup().part(links) == links
    assert Lookup(page=9, count=9).part(links) == []


@pytest.mark.parametrize(
    "arguments", [("page=1",), ("count=0",), ("count=x",), (f"count={COUNT_MAX + 1}",)]
)
def test_wrong_part_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError):
        read_lookup(arguments)


def test_filter_matches_a_whole_word_or_a_prefix() -> None:
    words = ["core.rd", "core.rd-lookup-ep"]
    assert matches("core.rd", words)
    assert matches("core.*", words)
    assert matches("*", words)
    assert not matches("core.r", words)
    assert not matches("x*", words)
    assert not matches("*", [])


@pytest.mark.parametrize(
    ("host", "port", "written"),
    [
        ("10.0.0.1", 5683, "coap://10.0.0.1"),
        ("10.0.0.1", 49152, "coap://10.0.0.1:49152"),
        ("2001:db8::1", 61616, "coap://[2001:db8::1]:61616"),
    ],
)
def test_base_is_a_uri(host: str, port: int, written: str) -> None:
    assert uri(host, port) == written


def test_links_in_a_lookup_are_absolute_and_have_an_anchor() -> None:
    base = "coap://[2001:db8::1]"
    links = [
        absolute(CoreLink("/temp", (("rt", "t"),)), base),
        absolute(CoreLink("light"), base),
        absolute(CoreLink("http://x/t", (("anchor", "/temp"), ("rel", "about"))), base),
        absolute(CoreLink("/t", (("anchor", "coap://other/t"),)), base),
    ]
    assert format_links(links) == (
        b'<coap://[2001:db8::1]/temp>;rt="t";anchor="coap://[2001:db8::1]",'
        b'<coap://[2001:db8::1]/light>;anchor="coap://[2001:db8::1]",'
        b'<http://x/t>;rel="about";anchor="coap://[2001:db8::1]/temp",'
        b'<coap://[2001:db8::1]/t>;anchor="coap://other/t"'
    )
