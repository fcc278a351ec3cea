# SPDX-License-Identifier: BSD-3-Clause
"""Who is heard at the UDP port, how often, and how much is said to whom. Pure.

Anybody can write any sender on a datagram. So who asks to be connected too often is told so; and
until somebody said more than CONNECT, he is told three times the bytes that he sent and no more,
so that nobody is flooded in another's name. `now` is the loop's time in seconds.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Final

from pyaiot.transport.rate_limit import RateLimit

CONNECTS_OF_HOST_PER_S: Final = 20.0
CONNECTS_OF_HOST_BURST: Final = 200.0
"""CONNECTs of one host, which may be a router with many nodes behind it. Above: "congestion"."""
CONNECTS_PER_S: Final = 200.0
CONNECTS_BURST: Final = 2000.0
"""CONNECTs of all hosts. Above: "congestion"."""
HOSTS_MAX: Final = 4096
"""Hosts whose CONNECTs are counted. Beyond, the oldest is forgotten."""
UNPROVEN_FACTOR: Final = 3
"""So many times the bytes of its CONNECT go to a client that said nothing else yet."""
STRANGERS_PER_S: Final = 1000.0
STRANGERS_BURST: Final = 2000.0
"""Datagrams of addresses without a client that are looked at. Above: dropped."""
FORGOTTEN_MAX: Final = 1024
"""Entries of clients that left before they are looked for."""

_CONNECT: Final = 0x04
_FORWARDED: Final = 0xFE


class Verdict(Enum):
    """What becomes of a datagram."""

    HEARD = "heard"
    TOO_FAST = "over the rate of its client"
    CONNECTS_TOO_FAST = "a CONNECT over the rate of its host"
    STRANGER_TOO_FAST = "over the rate of strangers"


class _Heard:
    __slots__ = ("allowance", "rate")

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self.allowance: int | None = 0
        """Bytes that may still go there; None: any."""


class Doorkeeper:
    """The rates of clients, hosts and strangers."""

    def __init__(
        self, *, packets_per_s: float, is_client: Callable[[Hashable, bytes | None], bool]
    ) -> None:
        """`is_client`: whether a client is at an address, behind a forwarder or not."""
        self._packets_per_s = packets_per_s
        self._is_client = is_client
        self._clients: dict[tuple[Hashable, bytes | None], _Heard] = {}
        self._hosts: OrderedDict[str, RateLimit] = OrderedDict()
        self._connects = RateLimit(per_s=CONNECTS_PER_S, burst=CONNECTS_BURST, now=0.0)
        self._strangers = RateLimit(per_s=STRANGERS_PER_S, burst=STRANGERS_BURST, now=0.0)
        self._look_at = FORGOTTEN_MAX

    def __len__(self) -> int:
        """Entries about clients and hosts."""
        return len(self._clients) + len(self._hosts)

    def on_datagram(
        self, datagram: bytes, address: Hashable, host: Callable[[], str], *, now: float
    ) -> Verdict:
        """Whether it may be read."""
        kind, node_id = _kind(datagram)
        peer = (address, node_id)
        if kind == _CONNECT:
            if not self._may_connect(host(), now):
                return Verdict.CONNECTS_TOO_FAST
        elif not self._is_client(address, node_id):
            return Verdict.STRANGER_TOO_FAST if self._strangers.take(now) else Verdict.HEARD
        heard = self._clients.get(peer)
        if heard is None:
            heard = self._remember(peer, now)
        if heard.rate.take(now):
            return Verdict.TOO_FAST
        if heard.allowance is not None:
            if kind == _CONNECT:
                heard.allowance = UNPROVEN_FACTOR * len(datagram)
            else:
                heard.allowance = None
        return Verdict.HEARD

    def may_send(self, datagram: bytes, address: Hashable) -> bool:
        """Whether it may go there."""
        node_id = _kind(datagram)[1]
        heard = self._clients.get((address, node_id))
        if heard is None or heard.allowance is None:
            return True  # an answer to a stranger, which is no longer than what it answers
        if heard.allowance < len(datagram):
            return False
        heard.allowance -= len(datagram)
        return True

    def _may_connect(self, host: str, now: float) -> bool:
        rate = self._hosts.get(host)
        if rate is None:
            rate = self._hosts[host] = RateLimit(
                per_s=CONNECTS_OF_HOST_PER_S, burst=CONNECTS_OF_HOST_BURST, now=now
            )
            if len(self._hosts) > HOSTS_MAX:
                self._hosts.popitem(last=False)
        else:
            self._hosts.move_to_end(host)
        return not rate.take(now) and not self._connects.take(now)

    def _remember(self, peer: tuple[Hashable, bytes | None], now: float) -> _Heard:
        if len(self._clients) >= self._look_at:
            self._clients = {
                known: heard for known, heard in self._clients.items() if self._is_client(*known)
            }
            self._look_at = 2 * len(self._clients) + FORGOTTEN_MAX
        heard = self._clients[peer] = _Heard(
            RateLimit(per_s=self._packets_per_s, burst=2 * self._packets_per_s, now=now)
        )
        return heard


def _kind(datagram: bytes) -> tuple[int, bytes | None]:
    """The packet type, and the node id of a forwarder's packet; -1 where there is none."""
    if len(datagram) < 2:
        return -1, None
    length, kind = datagram[0], datagram[1]
    node_id = None
    if length != 1 and kind == _FORWARDED:
        node_id = datagram[3:length]
        datagram = datagram[length:]
        if len(datagram) < 2:
            return -1, node_id
        length, kind = datagram[0], datagram[1]
    if length == 1:
        kind = datagram[3] if len(datagram) > 3 else -1
    return kind, node_id
