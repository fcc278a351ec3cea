# SPDX-License-Identifier: BSD-3-Clause
"""The open connections of one listener: limits, shares and eviction. Pure."""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from pyaiot.errors import Refused

CONNECTIONS_MAX: Final = 12_000
"""Connections of one listener, or its share of the descriptors if that is less. Another one evicts
a connection that has sent no request yet or is idle; if there is none, it is answered 503."""
ADDRESS_SHARE: Final = 0.5
"""The share of these that one address (IPv6: one /64 network) may use. Another one: 503. Loopback
is exempt, because a proxy on this machine connects for all clients."""

_IPV6_NETWORK: Final = 64
"""Prefix length of a network, all of whose addresses one host may use (RFC 4291)."""

C = TypeVar("C")


def principal_of(address: str) -> str:
    """The principal of a connection: an address, an IPv6 network, or "" for this machine."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            if found.is_loopback:
                return ""
            return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))
        found = found.ipv4_mapped
    return "" if found.is_loopback else str(found)


class ConnectionTable(Generic[C]):
    """Connections, their principals, and which of them may be evicted, oldest first."""

    def __init__(self, total_max: int) -> None:
        self.total_max = total_max
        self.per_principal_max = max(1, int(total_max * ADDRESS_SHARE))
        self._principals: dict[C, str] = {}
        self._counts: Counter[str] = Counter()
        self._unused: dict[C, None] = {}
        """Connections that have sent no request yet."""
        self._idle: dict[C, None] = {}
        """Connections between two requests."""

    def __len__(self) -> int:
        return len(self._principals)

    def __iter__(self) -> Iterator[C]:
        return iter(self._principals)

    def admit(self, connection: C, principal: str) -> C | None:
        """Add a connection. Returns the connection that is evicted for it, which the caller closes.

        Raises `Refused` at the limit.
        """
        if principal and self._counts[principal] >= self.per_principal_max:
            raise Refused(f"{self.per_principal_max} connections of this address are open")
        evicted = None
        if len(self._principals) >= self.total_max:
            evicted = next(iter(self._unused or self._idle), None)
            if evicted is None:
                raise Refused(f"{self.total_max} connections are open")
            self.remove(evicted)
        self._principals[connection] = principal
        self._counts[principal] += 1
        self._unused[connection] = None
        return evicted

    def busy(self, connection: C) -> None:
        """A request was received."""
        self._unused.pop(connection, None)
        self._idle.pop(connection, None)

    def idle(self, connection: C) -> None:
        """The response was sent, and there is no other request."""
        if connection in self._principals:
            self._idle[connection] = None

    def remove(self, connection: C) -> None:
        """The connection was closed. May be called more than once."""
        principal = self._principals.pop(connection, None)
        if principal is None:
            return
        self.busy(connection)
        self._counts[principal] -= 1
        if not self._counts[principal]:
            del self._counts[principal]
