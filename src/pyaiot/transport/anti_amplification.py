# SPDX-License-Identifier: BSD-3-Clause
"""How much may be sent to an address that has not proved that it is who it says. Pure.

Anybody can write another's address on a datagram and have us answer that one. Until a host answers
a request of ours, which has a token that only its receiver can know, it gets at most three times
the bytes that came from there. (RFC 9175 section 2.4 asks for as much, and offers the Echo option;
deployed firmware does not know that, but answers requests.)
"""

from collections import OrderedDict
from typing import Final

from pyaiot.protocols.amplification import AMPLIFICATION_MAX

UNPROVED_MAX: Final = 16_384
"""Hosts whose bytes are counted. Beyond, the oldest is forgotten: it gets nothing until it speaks
again."""
PROVED_MAX: Final = 131_072
"""Hosts that have answered. Beyond, the oldest counts as unproved again."""


class AmplificationLimit:
    """What each host may be sent. A host is an address as the socket writes it, with its zone."""

    def __init__(self, *, unproved_max: int = UNPROVED_MAX, proved_max: int = PROVED_MAX) -> None:
        self._unproved_max = unproved_max
        self._proved_max = proved_max
        self._credit: OrderedDict[str, int] = OrderedDict()
        self._proved: OrderedDict[str, None] = OrderedDict()
        self.held_back = 0
        """Datagrams that were not sent, ever."""

    def __len__(self) -> int:
        return len(self._credit)

    def received(self, host: str, size: int) -> None:
        """Bytes came that say that they are from there."""
        if host in self._proved:
            return
        credit = self._credit
        known = credit.get(host)
        if known is None:
            known = 0
            while len(credit) >= self._unproved_max:
                credit.popitem(last=False)
        credit[host] = known + AMPLIFICATION_MAX * size

    def may_send(self, host: str, size: int) -> bool:
        """Whether so many bytes may be sent there; then they are counted."""
        if host in self._proved:
            return True
        credit = self._credit.get(host, 0)
        if credit < size:
            self.held_back += 1
            return False
        self._credit[host] = credit - size
        return True

    def credit(self, host: str) -> int | None:
        """Bytes that may be sent there, or None: as many as one likes."""
        return None if host in self._proved else self._credit.get(host, 0)

    def proved(self, host: str) -> None:
        """A request of ours was answered from there."""
        if host in self._proved:
            self._proved.move_to_end(host)
            return
        while len(self._proved) >= self._proved_max:
            self._proved.popitem(last=False)
        self._proved[host] = None
        self._credit.pop(host, None)
