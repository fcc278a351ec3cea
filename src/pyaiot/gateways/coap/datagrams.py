# SPDX-License-Identifier: BSD-3-Clause
"""Objects that are given each datagram of the CoAP socket before aiocoap is."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias


class Lane(Protocol):
    """What is asked of each datagram before aiocoap."""

    def receive(
        self,
        datagram: bytes,
        sockaddr: Any,
        pktinfo: bytes | None,
    ) -> bytes | None:
        """The answer, b"" for none, or None: it is for aiocoap."""
        ...

    def post_refused(self, host: str, problem: object) -> None:
        """A request was refused before anybody saw it."""
        ...


Traced: TypeAlias = Callable[[bytes, Any, bytes | None, bool], None]
"""Is told of each datagram: its bytes, the address of the peer and ours as the socket says them,
and whether it comes in."""


class Watcher(Protocol):
    """Is asked next of each datagram: notifications of nodes that we observe."""

    def receive(self, datagram: bytes, sockaddr: Any) -> bytes | None:
        """The answer, b"" for none, or None: it is for aiocoap."""
        ...
