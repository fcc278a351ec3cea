# SPDX-License-Identifier: BSD-3-Clause
"""The CoRE link format of RFC 6690: the response of a node to `GET /.well-known/core`.

`</led>,</cli/stats>;ct=0;rt="count";obs` is two links; the second has three attributes. Pure.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError

LINKS_MAX: Final = 256
"""Links of one document. The rest is ignored (`LinkList.cut`)."""
ATTRIBUTES_MAX: Final = 64
"""Attributes of one link. A link with more is refused."""
URI_OPTION_BYTES_MAX: Final = 255
"""Bytes of one Uri-Path or Uri-Query option (RFC 7252 section 5.10, table 4)."""


class CoreLink(msgspec.Struct, frozen=True):
    """One link: `<target>;name=value;name`.

    `target` is the URI reference as received, with its percent-encoding. `attributes` are in the
    order of the document, names in lower case and possibly repeated, values without quotes;
    the value of an attribute without `=`, such as `obs`, is None.
    """

    target: str
    attributes: tuple[tuple[str, str | None], ...] = ()

    @property
    def path(self) -> str | None:
        """The percent-encoded path on the node that sent the link, with `/` first and no query.

        None for a target with a host (`coap://…`, `//…`), which may be another one. A relative
        target is relative to the root of the node (RFC 6690 section 2.1).
        """
        if _NAMES_ITS_HOST.match(self.target):
            return None
        path = _QUERY_OR_FRAGMENT.split(self.target, maxsplit=1)[0]
        return path if path.startswith("/") else "/" + path

    @property
    def query(self) -> str:
        """The percent-encoded query of the target; "" if there is none."""
        return self.target.partition("#")[0].partition("?")[2]

    @property
    def uri(self) -> str | None:
        """Path and query, percent-encoded. None as for `path`."""
        path = self.path
        return f"{path}?{self.query}" if path is not None and self.query else path

    def has(self, name: str) -> bool:
        """Whether there is an attribute with this name, with or without a value."""
        return any(name == other for other, _ in self.attributes)

    def text(self, name: str) -> str:
        """The value of the first attribute with this name; "" if there is none: `title`."""
        return next((value or "" for other, value in self.attributes if other == name), "")

    def values(self, name: str) -> list[str]:
        """The space-separated words of all attributes with this name: `rt`, `if`, `ct`, `rel`.

        RFC 6690 section 3.1 requires one `rt="a b"`; nodes also send `rt="a";rt="b"`.
        """
        values = (value or "" for other, value in self.attributes if other == name)
        return " ".join(values).split()


class Target(NamedTuple):
    """What a request is about: a value for each Uri-Path and each Uri-Query option."""

    path: tuple[str, ...]
    query: tuple[str, ...] = ()


class LinkList(NamedTuple):
    """The links of a document, and whether it has more of them."""

    links: list[CoreLink]
    cut: bool


def parse_links(payload: bytes, *, links_max: int = LINKS_MAX) -> LinkList:
    """Parse a document of media type application/link-format, in linear time.

    At most `links_max` links are parsed; `cut` is True if there is more, which is not checked.
    White space around the punctuation, and empty links and attributes (`,,`, a last `,` or `;`)
    are tolerated, as in the header field that the format comes from (RFC 5988 section 5).
    Raises `NotEnoughBytes` if the document ends inside a target, a quoted string or a
    character, and `ProtocolError` for any other error.
    """
    text = _decode(payload)
    links: list[CoreLink] = []
    position = _skip(_BETWEEN_LINKS, text, 0)
    while position < len(text):
        if len(links) == links_max:
            return LinkList(links, cut=True)
        link, position = _read_link(text, position)
        links.append(link)
        if position < len(text) and text[position] != ",":
            raise ProtocolError(f"link format: neither ',' nor ';' at character {position}")
        position = _skip(_BETWEEN_LINKS, text, position)
    return LinkList(links, cut=False)


def read_links(payload: bytes, *, links_max: int = LINKS_MAX) -> LinkList:
    """Parse the valid links of a document that may have errors, such as the list of a node.

    After an error, parsing continues at the next `<`. A target that is not UTF-8 is omitted. Valid
    links are parsed as `parse_links` does. `cut`: there are more than `links_max` links, or more
    than `links_max` errors.
    """
    text = payload.decode(errors="replace")
    links: list[CoreLink] = []
    wrong = 0
    position = _skip(_BETWEEN_LINKS, text, 0)
    while position < len(text):
        if len(links) >= links_max or wrong >= links_max:
            return LinkList(links, cut=True)
        start = position
        try:
            link, position = _read_link(text, start)
        except ProtocolError:
            wrong += 1
            position = start + 1
        else:
            if "\ufffd" not in link.target:
                links.append(link)
            if position < len(text) and text[position] == ",":
                position = _skip(_BETWEEN_LINKS, text, position)
                continue
        found = text.find("<", position)
        position = len(text) if found < 0 else found
    return LinkList(links, cut=False)


def format_links(links: Iterable[CoreLink]) -> bytes:
    """Format the links as a document that `parse_links` parses to the same links.

    Raises `ValueError` for what the format cannot express: `<`, `>` or a control character in a
    target, an attribute name that is not a lower-case token, a lone surrogate.
    """
    return ",".join(map(_format_link, links)).encode()


def path_segments(path: str) -> tuple[str, ...]:
    """Return the decoded segments of a percent-encoded path, one for each Uri-Path option.

    `/cli/caf%C3%A9` has two, `/rd/` has two (the last one empty), `/` has none (RFC 7252
    section 6.4). An encoded `/` stays inside its segment. Raises `ProtocolError` for an invalid
    `%`, bytes that are not UTF-8, a segment above 255 bytes, and the segments `.` and `..`,
    which no Uri-Path option may carry (RFC 7252 section 5.10.1).
    """
    if path in {"", "/"}:
        return ()
    segments = tuple(map(_uri_option, path.removeprefix("/").split("/")))
    if not {".", ".."}.isdisjoint(segments):
        raise ProtocolError("URI path: '.' and '..' are not valid segments")
    return segments


def query_arguments(query: str) -> tuple[str, ...]:
    """Return the decoded parts of a percent-encoded query, one for each Uri-Query option.

    Raises `ProtocolError` as `path_segments` does.
    """
    return tuple(map(_uri_option, query.split("&"))) if query else ()


def read_target(uri: str) -> Target:
    """The options of a percent-encoded path with a query, such as `/s?id=1`.

    Raises `ProtocolError` as `path_segments` does.
    """
    path, _, query = uri.partition("?")
    return Target(path_segments(path), query_arguments(query))


def resource_name(uri: str) -> str:
    """The name of a resource, as a node writes it in a post: `/caf%C3%A9` is `café`.

    Only characters that would be ambiguous stay encoded: `/` and `?` inside a segment, `&` inside
    an argument, and a `%` before two hexadecimal digits. So no two resources share a name, and
    `resource_uri` is the inverse. Raises `ProtocolError` as `path_segments` does.
    """
    target = read_target(uri)
    name = "/".join(_escaped(segment, "/?") for segment in target.path)
    query = "&".join(_escaped(argument, "&") for argument in target.query)
    return f"{name}?{query}" if query else name


def resource_uri(name: str) -> str:
    """The percent-encoded path, with a query if there is one, of a resource of this name."""
    path, _, query = name.partition("?")
    if not query:
        path = name
    uri = "/" + "/".join(map(_encoded, path.split("/")))
    return f"{uri}?{'&'.join(map(_encoded, query.split('&')))}" if query else uri


def _escaped(text: str, meaningful: str) -> str:
    text = _PERCENT_ENCODED.sub("%25", text)
    for character in meaningful:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text.encode(errors="surrogatepass")), safe="=")


def _decode(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        is_cut_short = error.reason == "unexpected end of data"
        kind = NotEnoughBytes if is_cut_short else ProtocolError
        raise kind(f"link format: invalid UTF-8 at byte {error.start}") from error


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _read_link(text: str, position: int) -> tuple[CoreLink, int]:
    """Parse the link at `position`. Returns it, and the position after trailing white space."""
    target = _TARGET.match(text, position)
    if target is None:
        raise ProtocolError(f"link format: no '<' at character {position}")
    position = target.end()
    if not target[2]:
        if position == len(text):
            raise NotEnoughBytes("link format: a target without '>'")
        raise ProtocolError(f"link format: invalid character in a target, at {position}")
    attributes: list[tuple[str, str | None]] = []
    while attribute := _ATTRIBUTE.match(text, position):
        position = attribute.end()
        name, quoted, closing_quote, bare = attribute.groups()
        if name is None:
            continue
        if closing_quote == "":
            raise NotEnoughBytes("link format: an unterminated quoted string")
        if len(attributes) == ATTRIBUTES_MAX:
            raise ProtocolError(f"link format: a link has more than {ATTRIBUTES_MAX} attributes")
        value = bare if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        attributes.append((name.lower(), value))
    return CoreLink(target[1], tuple(attributes)), _skip(_SPACE, text, position)


def _format_link(link: CoreLink) -> str:
    target = _TARGET.fullmatch(f"<{link.target}>")
    if target is None or not target[2]:
        raise ValueError(f"not a valid target of a link: {link.target!r}")
    return ";".join((target[0], *(_format_attribute(*pair) for pair in link.attributes)))


def _format_attribute(name: str, value: str | None) -> str:
    if not _TOKEN.fullmatch(name) or name != name.lower():
        raise ValueError(f"not a valid attribute name: {name!r}")
    if value is None:
        return name
    # RFC 6690 section 2 prescribes the form of some: `ct=40` but `title="40"`, `title*=UTF-8''x`.
    if name not in _ALWAYS_QUOTED and _CARDINAL.fullmatch(value):
        return f"{name}={value}"
    if (name in _NEVER_QUOTED or name.endswith("*")) and _PTOKEN.fullmatch(value):
        return f"{name}={value}"
    return '{}="{}"'.format(name, _MUST_BE_ESCAPED.sub(r"\\\g<0>", value))


def _uri_option(encoded: str) -> str:
    if _WRONG_PERCENT.search(encoded):
        raise ProtocolError("URI: a '%' without two hexadecimal digits")
    try:
        option = unquote_to_bytes(encoded)
        text = option.decode()
    except UnicodeError as error:
        raise ProtocolError("URI: percent-encoded bytes are not UTF-8") from error
    if len(option) > URI_OPTION_BYTES_MAX:
        raise ProtocolError(f"URI: a part has more than {URI_OPTION_BYTES_MAX} bytes")
    return text


# All quantifiers are possessive: no input makes a pattern backtrack.
_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_BETWEEN_LINKS: Final = re.compile(r"[ \t\r\n,]*+")
# The closing `>` and `"` are optional here, to distinguish a truncated document from an invalid
# one.
_TARGET: Final = re.compile(r"<([^<>\x00-\x1f\x7f]*+)(>?+)")
_ATTRIBUTE: Final = re.compile(
    r"""
    [ \t\r\n]*+ ; [ \t\r\n;]*+
    (?:
        ([!#$%&'*+\-.^_`|~0-9A-Za-z]++) [ \t\r\n]*+
        (?:
            = [ \t\r\n]*+
            (?: " ( [^"\\]*+ (?: \\. [^"\\]*+ )*+ ) ("?+)
            | ( [^\s",;\\\x00-\x1f\x7f]*+ )  # a ptoken, or none: nodes write `ct=`
            )
        )?+
    )?+
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_MUST_BE_ESCAPED: Final = re.compile(r'["\\]')
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_PTOKEN: Final = re.compile(r"[!#$%&'()*+\-./0-9:<=>?@A-Za-z\[\]^_`{|}~]++")
_CARDINAL: Final = re.compile(r"0|[1-9][0-9]*+")
_ALWAYS_QUOTED: Final = frozenset({"anchor", "title"})
_NEVER_QUOTED: Final = frozenset({"hreflang"})

# RFC 3986 sections 3.1 and 4.2: a scheme, or the two slashes before an authority.
_NAMES_ITS_HOST: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:|//")
_QUERY_OR_FRAGMENT: Final = re.compile(r"[?#]")
_PERCENT_ENCODED: Final = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_WRONG_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
