# SPDX-License-Identifier: BSD-3-Clause
"""Lookups in a resource directory (RFC 9176 section 6), with limits: any peer may make them. Pure.

`now` is the loop's time in seconds.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pyaiot.errors import Refused, TooFast
from pyaiot.gateways.coap.registrations import Directory, Registration
from pyaiot.protocols.coap.blocks import BODY_BYTES_MAX
from pyaiot.protocols.coap.resource_directory import (
    Lookup,
    absolute,
    matches,
    read_lookup,
    values_of,
)
from pyaiot.protocols.link_format import CoreLink, format_links
from pyaiot.transport.rate_limit import RateLimit

LOOKUP_LINKS_MAX: Final = 20_000
"""Largest number of endpoints and links that one lookup compares. In a larger directory, a lookup
must select endpoints by `ep`; otherwise it is answered 4.03."""
LOOKUP_LINKS_PER_S: Final = 20_000.0
LOOKUP_LINKS_BURST: Final = 40_000.0
"""Rate limit and burst of the same for all lookups. Above it: 4.29, with the time to wait."""
LOOKUP_AGE_MAX_S: Final = 5.0
"""How long a list is reused, so that all its blocks belong to the same list."""
LISTS_MAX: Final = 16
"""Largest number of lists that are kept for that. Beyond it the oldest is dropped."""

Find = Callable[[Sequence[Registration], Lookup, str], list[CoreLink]]


class Lookups:
    """The lists that lookups return, in link format."""

    def __init__(self, directory: Directory, path: str) -> None:
        """`path`: of the registrations."""
        self._directory = directory
        self._path = path
        self._rate = RateLimit(per_s=LOOKUP_LINKS_PER_S, burst=LOOKUP_LINKS_BURST, now=0.0)
        self._lists: OrderedDict[tuple[Find, tuple[str, ...]], tuple[float, bytes]] = OrderedDict()

    def answer(self, find: Find, arguments: tuple[str, ...], *, now: float) -> bytes:
        """The list for these arguments: of `endpoints` or of `resources`.

        Raises `ProtocolError`, `Refused`, `TooFast`.
        """
        key = find, arguments
        made_at, body = self._lists.get(key, (-LOOKUP_AGE_MAX_S, b""))
        if now - made_at < LOOKUP_AGE_MAX_S:
            return body
        lookup = read_lookup(arguments)
        items = self._candidates(lookup)
        cost = sum(1 + len(item.links) for item in items)
        if cost > LOOKUP_LINKS_MAX:
            raise Refused(f"more than {LOOKUP_LINKS_MAX} links: select endpoints, by ep=<prefix>*")
        if wait_s := self._rate.take(now, cost):
            raise TooFast("too many lookups", retry_after_s=wait_s)
        body = format_links(lookup.part(find(items, lookup, self._path)))
        if len(body) > BODY_BYTES_MAX:
            raise Refused(f"the list has more than {BODY_BYTES_MAX} bytes: use page and count")
        self._lists.pop(key, None)
        self._lists[key] = now, body
        if len(self._lists) > LISTS_MAX:
            self._lists.popitem(last=False)
        return body

    def _candidates(self, lookup: Lookup) -> Sequence[Registration]:
        """The endpoints whose names match. Names are attributes of endpoints, not of links."""
        names = [value for name, value in lookup.filters if name == "ep"]
        return [
            item
            for item in self._directory.registrations()
            if all(matches(name, (item.endpoint,)) for name in names)
        ]


def endpoints(items: Sequence[Registration], lookup: Lookup, path: str) -> list[CoreLink]:
    """The matching endpoints (section 6.4), by their attributes or those of a link."""
    found = []
    for item in items:
        own = item.as_link(path)
        if all(
            matches(value, values_of(own, name))
            or any(matches(value, values_of(link, name)) for link in item.links)
            for name, value in lookup.filters
        ):
            found.append(own)
    return found


def resources(items: Sequence[Registration], lookup: Lookup, path: str) -> list[CoreLink]:
    """The matching resources (section 6.3), by their attributes or those of the endpoint."""
    return [link for item in items for link in _resources(item, lookup, path)]


def _resources(item: Registration, lookup: Lookup, path: str) -> Iterator[CoreLink]:
    own = item.as_link(path)
    # If an endpoint matches, all of its links match.
    left = [
        (name, value) for name, value in lookup.filters if not matches(value, values_of(own, name))
    ]
    for link in item.links:
        whole: CoreLink | None = None
        for name, value in left:
            if matches(value, values_of(link, name)):
                continue
            if name not in ("href", "anchor"):
                break
            # Only these two change the list.
            whole = whole or absolute(link, item.base)
            if not matches(value, values_of(whole, name)):
                break
        else:
            yield whole or absolute(link, item.base)
