# SPDX-License-Identifier: BSD-3-Clause
"""Decides which datagrams the gateway reads. Pure.

The source address of a datagram can be forged. A host that sends too many CONNECTs gets the answer
"congestion". A host that has sent only CONNECTs is unverified, so that the anti-amplification limit
of the endpoint applies to it. `now` is the loop's time in seconds.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer
from pyaiot.transport.rate_limit import RateLimit

CONNECTS_OF_HOST_PER_S: Final = 20.0
CONNECTS_OF_HOST_BURST: Final = 200.0
"""CONNECTs of one host, which may be a router with many nodes behind it. Above: "congestion"."""
CONNECTS_PER_S: Final = 200.0
CONNECTS_BURST: Final = 2000.0
"""CONNECTs of all hosts. Above: "congestion"."""
UNKNOWN_PEERS_PER_S: Final = 1000.0
UNKNOWN_PEERS_BURST: Final = 2000.0
"""Datagrams read from addresses without a client. Above: dropped."""
STALE_CLIENTS_MAX: Final = 1024
"""Entries of clients that left. Beyond that, they are removed."""

_CONNECT: Final = 0x04
_FORWARDED: Final = 0xFE


class AdmissionResult(Enum):
    """Whether a datagram is read, or the reason why not. The values are labels of a metric."""

    ADMITTED = "admitted"
    CLIENT_TOO_FAST = "over the rate of its client"
    CONNECTS_TOO_FAST = "a CONNECT over the rate of its host"
    UNKNOWN_PEER_TOO_FAST = "over the rate of strangers"


def host_limits() -> HostLimits:
    """The limits of the hosts that send to the gateway."""
    return HostLimits(
        HostRateLimit(
            Rate(CONNECTS_OF_HOST_PER_S, CONNECTS_OF_HOST_BURST),
            Rate(CONNECTS_PER_S, CONNECTS_BURST),
        )
    )


class AdmissionControl:
    """The rate limits of clients and unknown peers, and those of hosts in `limits`."""

    def __init__(
        self,
        limits: HostLimits,
        *,
        packets_per_s: float,
        is_client: Callable[[Peer, bytes | None], bool],
    ) -> None:
        """`is_client`: whether a peer, with a node id behind a forwarder, has a client."""
        self._limits = limits
        self._packets_per_s = packets_per_s
        self._is_client = is_client
        self._clients: dict[tuple[Peer, bytes | None], RateLimit] = {}
        self._unknown_peers = RateLimit(
            per_s=UNKNOWN_PEERS_PER_S, burst=UNKNOWN_PEERS_BURST, now=0.0
        )
        self._clean_at = STALE_CLIENTS_MAX

    def __len__(self) -> int:
        """Entries of clients."""
        return len(self._clients)

    def judge_datagram(self, datagram: bytes, peer: Peer, *, now: float) -> AdmissionResult:
        """Count a received datagram and decide whether it is read."""
        kind, node_id = _kind(datagram)
        if kind == _CONNECT:
            if self._limits.take_request(peer.host, now=now) != 0:
                return AdmissionResult.CONNECTS_TOO_FAST
        elif not self._is_client(peer, node_id):
            too_fast = self._unknown_peers.take(now)
            return AdmissionResult.UNKNOWN_PEER_TOO_FAST if too_fast else AdmissionResult.ADMITTED
        rate = self._clients.get((peer, node_id))
        if rate is None:
            rate = self._remember((peer, node_id), now)
        if rate.take(now):
            return AdmissionResult.CLIENT_TOO_FAST
        if kind != _CONNECT:
            self._limits.verify(peer.host)
        return AdmissionResult.ADMITTED

    def _remember(self, client: tuple[Peer, bytes | None], now: float) -> RateLimit:
        if len(self._clients) >= self._clean_at:
            self._clients = {
                known: rate for known, rate in self._clients.items() if self._is_client(*known)
            }
            self._clean_at = 2 * len(self._clients) + STALE_CLIENTS_MAX
        rate = self._clients[client] = RateLimit(
            per_s=self._packets_per_s, burst=2 * self._packets_per_s, now=now
        )
        return rate


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
