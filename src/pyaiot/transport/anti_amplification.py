# SPDX-License-Identifier: BSD-3-Clause
"""The anti-amplification limit: how many bytes may be sent to an unverified host. Pure.

The source address of a datagram is easily forged, and the answer then goes to the victim. A host is
verified when it answers a request of ours, whose token only the receiver can know. Until then it
gets at most three times the bytes that were received from it. (RFC 9175 section 2.4 requires this
limit and offers the Echo option, which deployed firmware does not support.)
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.transport.peers import Peer

UNVERIFIED_MAX: Final = 16_384
"""Unverified hosts whose bytes are counted. Beyond that, the oldest is forgotten: nothing is sent
to it until it sends again."""
VERIFIED_MAX: Final = 131_072
"""Verified hosts that are remembered. Beyond that, the oldest becomes unverified again."""


class AmplificationLimit:
    """The credit of each host, which is an address as the socket writes it, with its zone."""

    def __init__(
        self, *, unverified_max: int = UNVERIFIED_MAX, verified_max: int = VERIFIED_MAX
    ) -> None:
        self._unverified_max = unverified_max
        self._verified_max = verified_max
        self._credit: OrderedDict[str, int] = OrderedDict()
        self._verified: OrderedDict[str, None] = OrderedDict()
        self.held_back = 0
        """Datagrams that were not sent, since the start."""

    def __len__(self) -> int:
        return len(self._credit)

    def received(self, host: str, size: int) -> None:
        """Count bytes whose source address is this host."""
        if host in self._verified:
            return
        credit = self._credit
        known = credit.get(host)
        if known is None:
            known = 0
            while len(credit) >= self._unverified_max:
                credit.popitem(last=False)
        credit[host] = known + AMPLIFICATION_MAX * size

    def take(self, host: str, size: int) -> bool:
        """Use `size` bytes of the credit of a host. False: it has less, and nothing is used."""
        if host in self._verified:
            return True
        credit = self._credit.get(host, 0)
        if credit < size:
            self.held_back += 1
            return False
        self._credit[host] = credit - size
        return True

    def received_all(self, datagrams: Iterable[tuple[bytes, Peer]]) -> None:
        """`received` for each datagram, with its source."""
        verified = self._verified
        for datagram, peer in datagrams:
            if peer.host not in verified:
                self.received(peer.host, len(datagram))

    def take_all(self, datagrams: Sequence[tuple[bytes, Peer]]) -> Sequence[tuple[bytes, Peer]]:
        """The datagrams that may be sent, each to its peer: `take` for each of them."""
        verified, take = self._verified, self.take
        return [
            datagram
            for datagram in datagrams
            if datagram[1].host in verified or take(datagram[1].host, len(datagram[0]))
        ]

    def credit(self, host: str) -> int | None:
        """Bytes that may be sent to this host; None: it is verified, there is no limit."""
        return None if host in self._verified else self._credit.get(host, 0)

    def verify(self, host: str) -> None:
        """The host is verified: it answered a request of ours."""
        if host in self._verified:
            self._verified.move_to_end(host)
            return
        while len(self._verified) >= self._verified_max:
            self._verified.popitem(last=False)
        self._verified[host] = None
        self._credit.pop(host, None)
