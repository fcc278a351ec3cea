# SPDX-License-Identifier: BSD-3-Clause
"""Limits per host of a datagram endpoint: bytes sent to it, and requests from it. Pure.

`host` is an address as the socket writes it, with its zone. `now` is the loop's time in seconds.
"""

from pyaiot.transport.anti_amplification import AmplificationLimit
from pyaiot.transport.host_rate_limit import HostRateLimit


class HostLimits:
    """The anti-amplification limit, and the rate limits of unverified and verified hosts."""

    def __init__(self, unverified: HostRateLimit, verified: HostRateLimit | None = None) -> None:
        """`verified` None: verified hosts have the same limit as others."""
        self.amplification = AmplificationLimit()
        self._unverified = unverified
        self._verified = unverified if verified is None else verified

    @property
    def held_back(self) -> int:
        """Datagrams that the anti-amplification limit held back, since the start."""
        return self.amplification.held_back

    @property
    def refused(self) -> int:
        """Requests over a rate limit, since the start."""
        together = self._unverified.refused
        return together if self._verified is self._unverified else together + self._verified.refused

    def is_verified(self, host: str) -> bool:
        return self.amplification.credit(host) is None

    def verify(self, host: str) -> None:
        """The host is verified: it answered a request of ours."""
        self.amplification.verify(host)

    def take_request(self, host: str, *, now: float) -> float | None:
        """Count a request. 0: admitted. Else the seconds to wait, or None: all hosts together send
        too much."""
        rate = self._verified if self.is_verified(host) else self._unverified
        return rate.take(host, now=now)
