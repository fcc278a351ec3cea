# SPDX-License-Identifier: BSD-3-Clause
"""Limits of clients without sign-in, by address: requests and open connections. Pure.

All addresses of an IPv6 network of 64 bits count as one, because a host may have all of them.
Loopback is the address of a proxy on this machine, which hides the addresses of its clients: only
the limit of all visitors together applies to it.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from pyaiot.transport.connection_table import principal_of
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate

VISITOR_REQUESTS_PER_S: Final = 40.0
VISITOR_REQUESTS_BURST: Final = 1500.0
"""Rate limit of requests of one address without sign-in. Above it, they are answered 429. Opening
the dashboard takes about 30 requests, and a class of thirty people behind one router opens it at
the same time."""
ALL_VISITORS_REQUESTS_PER_S: Final = 500.0
ALL_VISITORS_REQUESTS_BURST: Final = 6000.0
"""The same for all addresses together."""
VISITOR_CONNECTIONS_MAX: Final = 100
"""Largest number of WebSockets, streams and exports of one address without sign-in. A further one
is answered 429."""


class Visitors:
    """`clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests = HostRateLimit(
            Rate(VISITOR_REQUESTS_PER_S, VISITOR_REQUESTS_BURST),
            Rate(ALL_VISITORS_REQUESTS_PER_S, ALL_VISITORS_REQUESTS_BURST),
        )
        self._connections: Counter[str] = Counter()

    def may_request(self, address: str) -> bool:
        """Count a request. Returns False if it exceeds the limit and must be refused."""
        return self._requests.take(principal_of(address or "unknown"), now=self._clock()) == 0.0

    def may_connect(self, address: str) -> bool:
        """Whether a further connection of this address is within its limit."""
        network = principal_of(address or "unknown")
        return not network or self._connections[network] < VISITOR_CONNECTIONS_MAX

    def connected(self, address: str) -> Callable[[], None]:
        """Count an open connection. Call the result once, when the connection is closed."""
        network = principal_of(address or "unknown")
        self._connections[network] += 1

        def closed() -> None:
            self._connections[network] -= 1
            if not self._connections[network]:
                del self._connections[network]

        return closed
