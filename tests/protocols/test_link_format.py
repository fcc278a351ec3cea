# SPDX-License-Identifier: BSD-3-Clause
"""RFC 6690 by its own examples, by the documents of real nodes, and by hostile ones."""

import contextlib
from string import ascii_lowercase, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.link_format import (
    ATTRIBUTES_MAX,
    LINKS_MAX,
    CoreLink,
    format_links,
    parse_links,
    path_segments,
    query_arguments,
    read_links,
    read_target,
    resource_name,
    resource_uri,
)

# Documents in the form that `format_links` writes, and their links.
DOCUMENTS: list[tuple[bytes, list[CoreLink]]] = [
    (b"", []),
    # RFC 6690 section 5, the first example.
    (
        b'</sensors/temp>;if="sensor",</sensors/light>;if="sensor"',
        [
            CoreLink("/sensors/temp", (("if", "sensor"),)),
            CoreLink("/sensors/light", (("if", "sensor"),)),
        ],
    ),
    # The entry point that leads to another document.
    (b"</sensors>;ct=40", [CoreLink("/sensors", (("ct", "40"),))]),
    # A foreign target, anchors and relations.
    (
        (
            b'</sensors>;ct=40;title="Sensor Index",'
            b'</sensors/temp>;rt="temperature-c";if="sensor",'
            b'</sensors/light>;rt="light-lux";if="sensor",'
            b'<http://www.example.com/sensors/t123>;anchor="/sensors/temp";rel="describedby",'
            b'</t>;anchor="/sensors/temp";rel="alternate"'
        ),
        [
            CoreLink("/sensors", (("ct", "40"), ("title", "Sensor Index"))),
            CoreLink("/sensors/temp", (("rt", "temperature-c"), ("if", "sensor"))),
            CoreLink("/sensors/light", (("rt", "light-lux"), ("if", "sensor"))),
            CoreLink(
                "http://www.example.com/sensors/t123",
                (("anchor", "/sensors/temp"), ("rel", "describedby")),
            ),
            CoreLink("/t", (("anchor", "/sensors/temp"), ("rel", "alternate"))),
        ],
    ),
    # A size.
    (
        b'</firmware/v2.1>;rt="firmware";sz=262144',
        [CoreLink("/firmware/v2.1", (("rt", "firmware"), ("sz", "262144")))],
    ),
    # RIOT nodes.
    (
        b"</board>,</led>,</mcu>,</name>,</os>",
        [
            CoreLink("/board"),
            CoreLink("/led"),
            CoreLink("/mcu"),
            CoreLink("/name"),
            CoreLink("/os"),
        ],
    ),
    (
        b'</cli/stats>;ct=0;rt="count";obs',
        [CoreLink("/cli/stats", (("ct", "0"), ("rt", "count"), ("obs", None)))],
    ),
    # Punctuation inside quotes, escapes, nothing inside quotes, UTF-8.
    (
        b'</a>;title="1, 2; <3> = \\"three\\" \\\\";t="",</b>;title="caf\xc3\xa9"',
        [
            CoreLink("/a", (("title", '1, 2; <3> = "three" \\'), ("t", ""))),
            CoreLink("/b", (("title", "café"),)),
        ],
    ),
    # Values that must stay without quotes, and numbers that must have them.
    (
        b'</a>;hreflang=de;title*=UTF-8\'de\'x;title="7";v="007"',
        [
            CoreLink(
                "/a",
                (("hreflang", "de"), ("title*", "UTF-8'de'x"), ("title", "7"), ("v", "007")),
            )
        ],
    ),
]
PAYLOADS = [payload for payload, _ in DOCUMENTS]


@pytest.mark.parametrize(("payload", "links"), DOCUMENTS)
def test_a_document_is_read(payload: bytes, links: list[CoreLink]) -> None:
    assert parse_links(payload) == (links, False)


@pytest.mark.parametrize(("payload", "links"), DOCUMENTS)
def test_a_document_is_written(payload: bytes, links: list[CoreLink]) -> None:
    assert format_links(links) == payload


@pytest.mark.parametrize(
    ("payload", "links"),
    [
        (b"  \r\n", []),
        (b",, ,", []),
        (b"</a>,", [CoreLink("/a")]),
        (b",</a>,,</b>", [CoreLink("/a"), CoreLink("/b")]),
        (b"</a>;", [CoreLink("/a")]),
        (b"</a>;;obs;", [CoreLink("/a", (("obs", None),))]),
        (
            b' </a> ;\r\n ct = 40 ;\trt = "x" , \r\n </b>\n',
            [CoreLink("/a", (("ct", "40"), ("rt", "x"))), CoreLink("/b")],
        ),
        (b"</a>;ct=", [CoreLink("/a", (("ct", ""),))]),
        (b"</a>;CT=0;Obs", [CoreLink("/a", (("ct", "0"), ("obs", None)))]),
        (b"</a>;rt=a;rt=b", [CoreLink("/a", (("rt", "a"), ("rt", "b")))]),
        (b"</a>;x=</b>", [CoreLink("/a", (("x", "</b>"),))]),
        (b'</a>;t="\\x\\,"', [CoreLink("/a", (("t", "x,"),))]),
        (b"<>", [CoreLink("")]),
        (b"</my led>", [CoreLink("/my led")]),
    ],
)
def test_what_nodes_write_loosely_is_read_too(payload: bytes, links: list[CoreLink]) -> None:
    assert parse_links(payload) == (links, False)


@pytest.mark.parametrize(
    "payload",
    [
        b"led",
        b"</a></b>",
        b"</a> </b>",
        b"</a>,led",
        b"</a>;ct=0 40",
        b"</a>;=0",
        b'</a>;"x"',
        b'</a>;t="x"y',
        b'</a>;t="x""y"',
        b"</a>;t=a\\b",
        b"</a<b>",
        b"</a\x00>",
        b"</a\n>",
        b"</a>\x00",
        b"\xff</a>",
        b'</a>;t="\xc3("',
        b"\x00\x01\x02",
        b'{"a":1}',
    ],
)
def test_wrong_bytes_are_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_links(payload)
    assert not isinstance(caught.value, NotEnoughBytes)


@pytest.mark.parametrize(
    "payload",
    [b"<", b"</a", b"</a>,<", b'</a>;t="', b'</a>;t="x,;', b'</a>;t="\\', b'</a>;t="\xc3'],
)
def test_a_document_that_ends_inside_something_lacks_bytes(payload: bytes) -> None:
    with pytest.raises(NotEnoughBytes):
        parse_links(payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_prefix_is_its_first_links_or_an_error(payload: bytes) -> None:
    whole = [link.target for link in parse_links(payload).links]
    for length in range(len(payload)):
        try:
            links = parse_links(payload[:length]).links
        except ProtocolError:
            continue
        assert [link.target for link in links] == whole[: len(links)]


def test_an_error_is_short_and_shows_nothing_of_the_document() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_links(b"</a>" + b"<script>" * 10_000)
    assert str(caught.value) == "link format: neither ',' nor ';' at character 4"


def test_links_beyond_the_limit_are_cut_and_reported() -> None:
    exactly = b",".join([b"</a>"] * LINKS_MAX)
    assert parse_links(exactly) == ([CoreLink("/a")] * LINKS_MAX, False)
    assert parse_links(exactly + b",") == ([CoreLink("/a")] * LINKS_MAX, False)
    assert parse_links(exactly + b",</b>") == ([CoreLink("/a")] * LINKS_MAX, True)
    assert parse_links(b"</a>,</b>,</c>", links_max=2) == ([CoreLink("/a"), CoreLink("/b")], True)
    assert parse_links(b"</a>,nonsense", links_max=1) == ([CoreLink("/a")], True)


def test_attributes_beyond_the_limit_are_refused() -> None:
    (link,) = parse_links(b"</a>" + b";a" * ATTRIBUTES_MAX).links
    assert len(link.attributes) == ATTRIBUTES_MAX
    with pytest.raises(ProtocolError, match="more than 64 attributes"):
        parse_links(b"</a>" + b";a" * (ATTRIBUTES_MAX + 1))


def test_words_of_repeated_and_of_listing_attributes_are_found() -> None:
    (link,) = parse_links(b'</a>;rt="a b";rt=c;ct="0 40";obs;if=').links
    assert link.values("rt") == ["a", "b", "c"]
    assert link.values("ct") == ["0", "40"]
    assert link.values("if") == link.values("obs") == link.values("sz") == []
    assert link.has("obs")
    assert link.has("rt")
    assert not link.has("sz")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/led", "/led", ""),
        ("/cli/stats", "/cli/stats", ""),
        ("/rd/", "/rd/", ""),
        ("/", "/", ""),
        ("", "/", ""),
        ("led", "/led", ""),
        ("/s?x=1&y=%20", "/s", "x=1&y=%20"),
        ("?x", "/", "x"),
        ("/s#part?no", "/s", ""),
        ("/a:b", "/a:b", ""),
        ("/caf%C3%A9", "/caf%C3%A9", ""),
    ],
)
def test_a_target_on_the_node_has_a_path(target: str, path: str, query: str) -> None:
    assert CoreLink(target).path == path
    assert CoreLink(target).query == query


@pytest.mark.parametrize(
    "target",
    [
        "coap://[2001:db8::1]/led",
        "coap+tcp://x/led",
        "http://www.example.com",
        "//x/led",
        "urn:x:y",
    ],
)
def test_a_target_that_names_its_host_is_kept_but_has_no_path(target: str) -> None:
    (link,) = parse_links(f"<{target}>".encode()).links
    assert link.target == target
    assert link.path is None


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", ()),
        ("", ()),
        ("/led", ("led",)),
        ("/cli/stats", ("cli", "stats")),
        ("/rd/", ("rd", "")),
        ("//", ("", "")),
        ("/caf%C3%A9", ("café",)),
        ("/café", ("café",)),
        ("/a%2Fb/c%20d", ("a/b", "c d")),
        ("/.well-known/core", (".well-known", "core")),
        ("/...", ("...",)),
        ("/" + "a" * 255, ("a" * 255,)),
    ],
)
def test_a_path_is_split_and_decoded(path: str, segments: tuple[str, ...]) -> None:
    assert path_segments(path) == segments


@pytest.mark.parametrize(
    "path",
    [
        "/%",
        "/%4",
        "/%zz",
        "/a%",
        "/%FF",
        "/%C3",
        "/%ED%A0%80",
        "/\ud800",
        "/..",
        "/a/./b",
        "/%2e%2E/x",
        "/" + "a" * 256,
        "/" + "%C3%A9" * 128,
    ],
    ids=ascii,
)
def test_a_path_that_no_request_can_name_is_refused(path: str) -> None:
    with pytest.raises(ProtocolError):
        path_segments(path)


def test_a_query_is_split_and_decoded() -> None:
    assert query_arguments("") == ()
    assert query_arguments("ep=n%26m&lt=60&&x") == ("ep=n&m", "lt=60", "", "x")
    with pytest.raises(ProtocolError):
        query_arguments("ep=%")


@pytest.mark.parametrize(
    "link",
    [
        CoreLink("/a>b"),
        CoreLink("/a<b"),
        CoreLink("/a\nb"),
        CoreLink("/a", (("", None),)),
        CoreLink("/a", (("r t", "x"),)),
        CoreLink("/a", (("RT", "x"),)),
        CoreLink("/a", (("t", "\ud800"),)),
    ],
    ids=ascii,
)
def test_what_cannot_be_expressed_is_not_written(link: CoreLink) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        format_links([link])
    assert not isinstance(caught.value, ProtocolError)


@pytest.mark.parametrize(
    "payload",
    [
        b'"' * 100_000,
        b'</a>;t="' + b'"' * 100_000,
        b'</a>;t="' + b"\\" * 100_001,
        b'</a>;t="' + b'\\"' * 50_000,
        b'</a>;t="' + b"a" * 100_000,
        b"</a>" + b" " * 100_000 + b"x",
        b"</a>;a" + b" " * 100_000 + b"x",
        b"</a>" + b";a" * 50_000,
        b"</a>;" + b"=" * 100_000,
        b"<" * 100_000,
        b"<" + b"a" * 100_000,
        b"</a>;" + b"a" * 100_000 + b'"',
    ],
    ids=lambda payload: ascii(payload[:12]),
)
def test_hostile_documents_are_refused(payload: bytes) -> None:
    # A pattern that goes back to try again would not come to the end of some of these.
    with pytest.raises(ProtocolError):
        parse_links(payload)


@pytest.mark.parametrize(
    "payload", [b"," * 100_000, b"</a>" + b";" * 100_000, b'</a>;t="' + b'\\"' * 50_000 + b'"']
)
def test_long_documents_of_nearly_nothing_are_read(payload: bytes) -> None:
    assert len(parse_links(payload).links) <= 1


_names = st.text(f"{ascii_lowercase}{digits}!#$%&'*+.^_`|~-", min_size=1, max_size=12)
_values = st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex("[0-9]+")
_targets = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="<>"))
_links = st.builds(
    CoreLink, _targets, st.lists(st.tuples(_names, _values), max_size=ATTRIBUTES_MAX).map(tuple)
)


@given(st.lists(_links, max_size=5))
def test_links_survive_the_round_trip(links: list[CoreLink]) -> None:
    assert parse_links(format_links(links)) == (links, False)


@given(st.binary() | st.text('</a>;=",\\ \n\x00é').map(str.encode))
def test_any_bytes_are_links_or_a_protocol_error(payload: bytes) -> None:
    try:
        links = parse_links(payload).links
    except ProtocolError:
        return
    assert parse_links(format_links(links)).links == links


@given(st.text('/%.aé0C3A9"?#&'))
def test_any_path_is_segments_or_a_protocol_error(path: str) -> None:
    try:
        segments = path_segments(path)
    except ProtocolError:
        return
    assert all(len(segment.encode()) <= 255 for segment in segments)


# -- names of resources ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/led", "led"),
        ("/caf%C3%A9", "café"),
        ("/café", "café"),
        ("/cli/stats", "cli/stats"),
        ("/rd/", "rd/"),
        ("/a%20b", "a b"),
        ("/a%2Fb", "a%2Fb"),
        ("/a%3fb", "a%3Fb"),
        ("/100%25", "100%"),
        ("/%2541", "%2541"),
        ("/s?id=1", "s?id=1"),
        ("/s?id=1&x=%C3%A9", "s?id=1&x=é"),
        ("/s?a%26b", "s?a%26b"),
        ("/s?", "s"),
        ("/a#b", "a#b"),
    ],
)
def test_resource_has_one_name_and_the_name_leads_back(uri: str, name: str) -> None:
    assert resource_name(uri) == name
    assert read_target(resource_uri(name)) == read_target(uri)
    assert resource_name(resource_uri(name)) == name


@pytest.mark.parametrize("uri", ["/%", "/%zz", "/%ff", "/..", "/a/./b", "/s?%"])
def test_uri_that_cannot_be_has_no_name(uri: str) -> None:
    with pytest.raises(ProtocolError):
        resource_name(uri)


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_two_resources_share_a_name(one: str, other: str) -> None:
    uris = [resource_uri(name) for name in (one, other)]
    targets, names = [], []
    for uri in uris:
        with contextlib.suppress(ProtocolError):
            targets.append(read_target(uri))
            names.append(resource_name(uri))
    assert len(set(targets)) == len(set(names))


def test_uri_of_a_link_has_its_query() -> None:
    assert CoreLink("/s?id=1#top").uri == "/s?id=1"
    assert CoreLink("s").uri == "/s"
    assert CoreLink("coap://elsewhere/s?id=1").uri is None


# -- lists that are wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        (b"</a>;</b>;obs,</c>", ["/a", "/b", "/c"]),
        (b"</a> </b>", ["/a", "/b"]),
        (b"</a>,nonsense,</b>", ["/a", "/b"]),
        (b"nonsense", []),
        (b'</a>,</b>;title="cut', ["/a"]),
        (b"</a>,</b", ["/a"]),
        (b"</a>,<</b>", ["/a", "/b"]),
        (b"</a>,</\xff>,</b>", ["/a", "/b"]),
        (b'</a>;title="\xff",</b>', ["/a", "/b"]),
        (b"</a>;=,</b>", ["/a", "/b"]),
        (b"", []),
    ],
)
def test_wrong_list_gives_what_can_be_read(text: bytes, targets: list[str]) -> None:
    assert [link.target for link in read_links(text).links] == targets


def test_attributes_are_kept_where_a_list_is_wrong() -> None:
    assert read_links(b"</a>;</b>;obs,</c>;ct=50").links == [
        CoreLink("/a"),
        CoreLink("/b", (("obs", None),)),
        CoreLink("/c", (("ct", "50"),)),
    ]


@given(st.binary(max_size=80))
def test_right_list_is_read_the_same(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert read_links(payload) == parse_links(payload)


@pytest.mark.parametrize(
    "text", [b"<" * 60_000, b"</a>;" * 12_000, b'<a>;x="' * 8_000, b"<a " * 20_000]
)
def test_wrong_list_is_read_in_time_and_within_its_limit(text: bytes) -> None:
    found = read_links(text)
    assert found.cut or len(found.links) < 256
    assert len(found.links) <= 256
