# SPDX-License-Identifier: BSD-3-Clause
"""Which datagrams the gateway reads, and how many bytes an unverified client gets. Pure.

The source address of a datagram can be forged. A host that sends too many CONNECTs gets the answer
"congestion". A client that has sent only CONNECT is unverified and gets at most `AMPLIFICATION_MAX`
times the bytes of that CONNECT, so that a forged address cannot be flooded. `now` is the loop's
time in seconds.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Final

from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.transport.rate_limit import RateLimit

CONNECTS_OF_HOST_PER_S: Final = 20.0
CONNECTS_OF_HOST_BURST: Final = 200.0
"""CONNECTs of one host, which may be a router with many nodes behind it. Above: "congestion"."""
CONNECTS_PER_S: Final = 200.0
CONNECTS_BURST: Final = 2000.0
"""CONNECTs of all hosts. Above: "congestion"."""
HOSTS_MAX: Final = 4096
"""Hosts whose CONNECTs are counted. Beyond, the oldest is forgotten."""
UNKNOWN_PEERS_PER_S: Final = 1000.0
UNKNOWN_PEERS_BURST: Final = 2000.0
"""Datagrams read from addresses without a client. Above: dropped."""
STALE_CLIENTS_MAX: Final = 1024
"""Entries of clients that left. Beyond, they are removed."""

_CONNECT: Final = 0x04
_FORWARDED: Final = 0xFE


class Admission(Enum):
    """Whether a datagram is read, or why not. The values are labels of a metric."""

    ADMITTED = "admitted"
    CLIENT_TOO_FAST = "over the rate of its client"
    CONNECTS_TOO_FAST = "a CONNECT over the rate of its host"
    UNKNOWN_PEER_TOO_FAST = "over the rate of strangers"


class _Client:
    __slots__ = ("credit", "rate")

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self.credit: int | None = 0
        """Bytes that may still be sent to it while it is unverified; None: it is verified."""


class AdmissionControl:
    """The rate limits of clients, hosts and unknown peers."""

    def __init__(
        self, *, packets_per_s: float, is_client: Callable[[Hashable, bytes | None], bool]
    ) -> None:
        """`is_client`: whether an address, with a node id behind a forwarder, has a client."""
        self._packets_per_s = packets_per_s
        self._is_client = is_client
        self._clients: dict[tuple[Hashable, bytes | None], _Client] = {}
        self._hosts: OrderedDict[str, RateLimit] = OrderedDict()
        self._connects = RateLimit(per_s=CONNECTS_PER_S, burst=CONNECTS_BURST, now=0.0)
        self._unknown_peers = RateLimit(
            per_s=UNKNOWN_PEERS_PER_S, burst=UNKNOWN_PEERS_BURST, now=0.0
        )
        self._clean_at = STALE_CLIENTS_MAX

    def __len__(self) -> int:
        """Entries of clients and hosts."""
        return len(self._clients) + len(self._hosts)

    def judge_datagram(
        self, datagram: bytes, address: Hashable, host: Callable[[], str], *, now: float
    ) -> Admission:
        """Count a received datagram and decide whether it is read."""
        kind, node_id = _kind(datagram)
        peer = (address, node_id)
        if kind == _CONNECT:
            if not self._may_connect(host(), now):
                return Admission.CONNECTS_TOO_FAST
        elif not self._is_client(address, node_id):
            too_fast = self._unknown_peers.take(now)
            return Admission.UNKNOWN_PEER_TOO_FAST if too_fast else Admission.ADMITTED
        client = self._clients.get(peer)
        if client is None:
            client = self._remember(peer, now)
        if client.rate.take(now):
            return Admission.CLIENT_TOO_FAST
        if client.credit is not None:
            client.credit = AMPLIFICATION_MAX * len(datagram) if kind == _CONNECT else None
        return Admission.ADMITTED

    def take_credit(self, datagram: bytes, address: Hashable) -> bool:
        """Whether the datagram may be sent to the address; its bytes are counted then."""
        node_id = _kind(datagram)[1]
        client = self._clients.get((address, node_id))
        if client is None or client.credit is None:
            return True  # an answer to an unknown peer is no longer than its datagram
        if client.credit < len(datagram):
            return False
        client.credit -= len(datagram)
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

    def _remember(self, peer: tuple[Hashable, bytes | None], now: float) -> _Client:
        if len(self._clients) >= self._clean_at:
            self._clients = {
                known: client for known, client in self._clients.items() if self._is_client(*known)
            }
            self._clean_at = 2 * len(self._clients) + STALE_CLIENTS_MAX
        client = self._clients[peer] = _Client(
            RateLimit(per_s=self._packets_per_s, burst=2 * self._packets_per_s, now=now)
        )
        return client


def _kind(datagram: bytes) -> tuple[int, bytes | None]:
    """The packet type, -1 if there is none, and the node id if a forwarder sent the packet."""
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
