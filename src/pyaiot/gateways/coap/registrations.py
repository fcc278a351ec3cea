# SPDX-License-Identifier: BSD-3-Clause
"""The registrations of a resource directory (RFC 9176). Pure.

`now` is the loop's time in seconds.
"""

import heapq
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError, Refused
from pyaiot.protocols.coap.resource_directory import (
    LIFETIME_DEFAULT_S,
    RegistrationParameters,
    uri,
)
from pyaiot.protocols.link_format import CoreLink, format_links

REGISTRATIONS_MAX: Final = 20_000
"""Largest number of registrations. Beyond it: 4.03."""
LINK_BYTES_MAX: Final = 16_384
"""Largest size of the links of one registration in bytes of link format. Beyond it: 4.13."""
LINK_BYTES_TOTAL_MAX: Final = 32 * 1024 * 1024
"""The same for all registrations together. More: 4.03."""
LIFETIME_MAX_S: Final = 30 * 86_400.0
"""Longest lifetime that is granted. A node that updates its registration later gets 4.04."""


class Registration(msgspec.Struct, eq=False):
    """The registration of an endpoint. Requests are sent to `host` and `port`."""

    location: str
    """The last segment of its path: `/rd/<location>`."""
    uid: str
    endpoint: str
    sector: str
    host: str
    port: int
    lifetime_s: int
    attributes: tuple[tuple[str, str], ...]
    links: tuple[CoreLink, ...]
    """Empty until they are fetched, after a simple registration."""
    size: int
    expires_at: float
    ended: bool = False
    secured: bool = False
    """Whether it was made in a secured session."""

    @property
    def base(self) -> str:
        return uri(self.host, self.port, secured=self.secured)

    def as_link(self, path: str) -> CoreLink:
        """The link of this endpoint in an endpoint lookup (section 6.4)."""
        own = [("ep", self.endpoint), ("base", self.base), ("lt", str(self.lifetime_s))]
        if self.sector:
            own.append(("d", self.sector))
        others = ((name.lower(), value) for name, value in self.attributes)
        return CoreLink(f"{path}/{self.location}", (*own, ("rt", "core.rd-ep"), *others))


def uid_of(parameters: RegistrationParameters) -> str:
    """The uid of an endpoint: its name, or `<name>.<sector>` if it has a sector.

    Raises `ProtocolError` if there is no name.
    """
    if parameters.endpoint is None:
        raise ProtocolError("ep is missing")
    return (
        f"{parameters.endpoint}.{parameters.sector}" if parameters.sector else parameters.endpoint
    )


class Directory:
    """All registrations."""

    def __init__(self, *, changed: Callable[[str], None] = lambda _uid: None) -> None:
        """`changed` is called with the uid of each registration that is added, changed or
        removed."""
        self._changed = changed
        self._at: dict[str, Registration] = {}
        self._of: dict[str, Registration] = {}
        self._expiry: list[tuple[float, int, Registration]] = []
        self._order = itertools.count()
        self._location = 0
        self._size = 0

    def __len__(self) -> int:
        return len(self._at)

    def at(self, location: str) -> Registration | None:
        return self._at.get(location)

    def of(self, uid: str) -> Registration | None:
        return self._of.get(uid)

    def register(
        self,
        parameters: RegistrationParameters,
        links: Sequence[CoreLink],
        host: str,
        port: int,
        *,
        now: float,
    ) -> Registration:
        """Register an endpoint. A repeated registration keeps its location (section 5).

        Raises `ProtocolError` if it has no name, `Refused` if a limit is reached.
        """
        uid = uid_of(parameters)
        size = len(format_links(links)) + sum(len(value) for _, value in parameters.attributes)
        known = self._of.get(uid)
        if known is None and len(self._at) >= REGISTRATIONS_MAX:
            raise Refused(f"the directory holds at most {REGISTRATIONS_MAX} registrations")
        if self._size - (known.size if known else 0) + size > LINK_BYTES_TOTAL_MAX:
            raise Refused("the directory is full")
        if known is None:
            self._location += 1
        location = str(self._location) if known is None else known.location
        if known is not None:
            self.remove(known)
        lifetime_s = LIFETIME_DEFAULT_S if parameters.lifetime_s is None else parameters.lifetime_s
        registration = Registration(
            location,
            uid,
            parameters.endpoint or "",
            parameters.sector,
            host,
            port,
            lifetime_s,
            parameters.attributes,
            tuple(links),
            size,
            now + min(lifetime_s, LIFETIME_MAX_S),
        )
        self._add(registration)
        return registration

    def restore(self, registration: Registration) -> bool:
        """Restore a registration from before a restart. Returns False if its location is taken or a
        limit is reached."""
        location, uid = registration.location, registration.uid
        if not location.isascii() or not location.isdigit() or len(location) > _LOCATION_DIGITS:
            return False
        if location in self._at or uid in self._of or len(self._at) >= REGISTRATIONS_MAX:
            return False
        if self._size + registration.size > LINK_BYTES_TOTAL_MAX:
            return False
        self._location = max(self._location, int(location))
        self._add(registration)
        return True

    def _add(self, registration: Registration) -> None:
        self._at[registration.location] = self._of[registration.uid] = registration
        self._size += registration.size
        self._queue(registration)
        self._changed(registration.uid)

    def update(
        self,
        registration: Registration,
        parameters: RegistrationParameters,
        host: str,
        port: int,
        *,
        now: float,
    ) -> None:
        """Renew a registration (section 5.3.1), with the parameters of the update."""
        if parameters.lifetime_s is not None:
            registration.lifetime_s = parameters.lifetime_s
        if parameters.attributes:
            updated = {name for name, _ in parameters.attributes}
            kept = (pair for pair in registration.attributes if pair[0] not in updated)
            registration.attributes = (*kept, *parameters.attributes)[:_ATTRIBUTES_KEPT]
        registration.host, registration.port = host, port
        registration.expires_at = now + min(registration.lifetime_s, LIFETIME_MAX_S)
        self._queue(registration)
        self._changed(registration.uid)

    def fill(self, registration: Registration, links: Sequence[CoreLink]) -> None:
        """Store the links that were read after a simple registration, if the limits permit."""
        size = len(format_links(links))
        more = size - registration.size
        if registration.ended or size > LINK_BYTES_MAX or self._size + more > LINK_BYTES_TOTAL_MAX:
            return
        registration.links, registration.size = tuple(links), size
        self._size += more
        self._changed(registration.uid)

    def remove(self, registration: Registration) -> None:
        if not registration.ended:
            registration.ended = True
            del self._at[registration.location], self._of[registration.uid]
            self._size -= registration.size
            self._changed(registration.uid)

    def expired(self, *, now: float) -> list[Registration]:
        """Remove the expired registrations and return them."""
        found = []
        while self._expiry and self._expiry[0][0] <= now:
            _, _, registration = heapq.heappop(self._expiry)
            if not registration.ended and registration.expires_at <= now:
                self.remove(registration)
                found.append(registration)
        return found

    def next_expiry(self) -> float | None:
        """The loop's time at which to call `expired`."""
        return self._expiry[0][0] if self._expiry else None

    def registrations(self) -> Collection[Registration]:
        """All of them, in the order of their locations."""
        return self._at.values()

    def _queue(self, registration: Registration) -> None:
        # The old entry of an updated registration is skipped when its time comes.
        heapq.heappush(self._expiry, (registration.expires_at, next(self._order), registration))
        if len(self._expiry) > 4 * len(self._at) + _STALE_MAX:
            self._expiry = [
                (item.expires_at, next(self._order), item) for item in self._at.values()
            ]
            heapq.heapify(self._expiry)


_ATTRIBUTES_KEPT: Final = 32
_STALE_MAX: Final = 64
_LOCATION_DIGITS: Final = 18
