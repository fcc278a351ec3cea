# SPDX-License-Identifier: BSD-3-Clause
"""Requests to a resource directory (RFC 9176), and its responses. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.numbers import COAP_PORT, COAPS_PORT
from pyaiot.protocols.link_format import CoreLink

NAME_BYTES_MAX: Final = 63
"""Bytes of the name of an endpoint or a sector (RFC 9176 section 5). Longer: 4.00."""
LIFETIME_DEFAULT_S: Final = 90_000
"""RFC 9176 section 5: the lifetime of a registration without `lt`."""
LIFETIME_LIMIT_S: Final = 4_294_967_295
"""Section 5: the longest lifetime that may be requested. Longer: 4.00."""
ATTRIBUTES_MAX: Final = 16
"""Further attributes of a registration, such as `et`. More: 4.00."""
COUNT_MAX: Final = 10_000
"""The highest `page` and `count` of a lookup. Higher: 4.00."""


class RegistrationParameters(msgspec.Struct, frozen=True):
    """The query of a registration or an update. None: absent."""

    endpoint: str | None = None
    sector: str = ""
    lifetime_s: int | None = None
    base: tuple[str, int] | None = None
    """Host and port of `base=coap://host:port`."""
    attributes: tuple[tuple[str, str], ...] = ()


class Lookup(msgspec.Struct, frozen=True):
    """The query of a lookup: filters, and the page of the result."""

    filters: tuple[tuple[str, str], ...] = ()
    page: int = 0
    count: int | None = None

    def part(self, links: Sequence[CoreLink]) -> Sequence[CoreLink]:
        """The requested page (section 6.2)."""
        if self.count is None:
            return links
        return links[self.page * self.count : (self.page + 1) * self.count]


def read_parameters(arguments: Iterable[str]) -> RegistrationParameters:
    """The arguments of a registration (section 5) or an update (section 5.3.1).

    Raises `ProtocolError`.
    """
    found: dict[str, str] = {}
    attributes: list[tuple[str, str]] = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in _KNOWN:
            if name in found:
                raise ProtocolError(f"{name} is repeated")
            found[name] = value
        else:
            attributes.append((name, value))
    if len(attributes) > ATTRIBUTES_MAX:
        raise ProtocolError(f"more than {ATTRIBUTES_MAX} attributes")
    for name, value in attributes:
        if not _is_token(name) or not value.isprintable():
            raise ProtocolError("an attribute needs a name of letters and a printable value")
    return RegistrationParameters(
        _name(found["ep"], "ep") if "ep" in found else None,
        _name(found["d"], "d") if found.get("d") else "",
        _number(found["lt"], "lt", 1, LIFETIME_LIMIT_S) if "lt" in found else None,
        _base(found["base"]) if "base" in found else None,
        tuple(attributes),
    )


def read_lookup(arguments: Iterable[str]) -> Lookup:
    """The arguments of a lookup (section 6.2). Raises `ProtocolError`."""
    filters: list[tuple[str, str]] = []
    numbers: dict[str, int] = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        match name:
            case "page":
                numbers[name] = _number(value, name, 0, COUNT_MAX)
            case "count":
                numbers[name] = _number(value, name, 1, COUNT_MAX)
            case _:
                filters.append((name, value))
    if len(filters) > ATTRIBUTES_MAX:
        raise ProtocolError(f"more than {ATTRIBUTES_MAX} filters")
    if "page" in numbers and "count" not in numbers:
        raise ProtocolError("page requires count")
    return Lookup(tuple(filters), numbers.get("page", 0), numbers.get("count"))


def matches(wanted: str, values: Iterable[str]) -> bool:
    """Whether one of the values equals `wanted`, or begins with it if it ends in `*` (RFC 6690,
    4.1)."""
    if wanted.endswith("*"):
        return any(value.startswith(wanted[:-1]) for value in values)
    return wanted in values


def values_of(link: CoreLink, name: str) -> list[str]:
    """The values that a filter for `name` is compared with. Lists of words are split."""
    if name == "href":
        return [link.target]
    if name in _WORDS:
        return link.values(name)
    return [value or "" for there, value in link.attributes if there == name]


def uri(host: str, port: int, *, secured: bool = False) -> str:
    """`coap://host`, with the port if it is not the default one (RFC 7252 section 6.1).

    `secured`: `coaps://`, for DTLS (section 6.2).
    """
    scheme, default = ("coaps", COAPS_PORT) if secured else ("coap", COAP_PORT)
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port == default else f"{scheme}://{name}:{port}"


def absolute(link: CoreLink, base: str) -> CoreLink:
    """The link in a resource lookup (section 6.1): absolute, and with an anchor."""
    target = _resolved(link.target, base)
    anchor = next((value or "" for name, value in link.attributes if name == "anchor"), "")
    others = tuple(pair for pair in link.attributes if pair[0] != "anchor")
    return CoreLink(target, (*others, ("anchor", _resolved(anchor, base) if anchor else base)))


def _resolved(target: str, base: str) -> str:
    if CoreLink(target).path is None:
        return target  # it is absolute already
    return base + (target if target.startswith("/") else f"/{target}")


def _name(value: str, what: str) -> str:
    if not value or len(value.encode()) > NAME_BYTES_MAX or not value.isprintable():
        raise ProtocolError(f"{what} must have 1 to {NAME_BYTES_MAX} bytes of printable text")
    return value


def _number(value: str, what: str, lowest: int, highest: int) -> int:
    if value.isascii() and value.isdigit() and len(value) <= 10:
        number = int(value)
        if lowest <= number <= highest:
            return number
    raise ProtocolError(f"{what} must be a number from {lowest} to {highest}")


def _base(value: str) -> tuple[str, int]:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ProtocolError("base is not a URI") from error
    if parts.scheme != "coap" or not host or parts.path.strip("/") or parts.username is not None:
        raise ProtocolError("base must be coap://host or coap://host:port")
    return host, COAP_PORT if port is None else port


def _is_token(name: str) -> bool:
    return 0 < len(name) <= NAME_BYTES_MAX and name.isascii() and name.replace("-", "").isalnum()


_KNOWN: Final = frozenset({"ep", "d", "lt", "base"})
_WORDS: Final = frozenset({"rt", "if", "rel", "ct", "rev"})
