# SPDX-License-Identifier: BSD-3-Clause
"""Requests to nodes: one at a time for each, each with a deadline, none on the wire after it."""

import asyncio
from collections import Counter
from typing import Final

import aiocoap
from aiocoap.numbers.constants import TransportTuning

from pyaiot.gateways.coap.endpoint import Peer
from pyaiot.protocols.link_format import path_segments

RETRANSMIT_MAX: Final = 4
"""RFC 7252 section 4.8, MAX_RETRANSMIT: not more, however late the deadline is."""
ACK_RANDOM_FACTOR: Final = 1.5
ACK_TIMEOUT_S: Final = 2.0
"""RFC 7252 section 4.8."""


def tuning(limit_s: float) -> TransportTuning:
    """Retransmission that has ended when `limit_s` is over, so that no write happens later.

    RFC 7252 section 4.8.2: the last wait ends after ACK_TIMEOUT * (2 ** (n + 1) - 1) *
    ACK_RANDOM_FACTOR at the latest. As many retransmissions as fit with at least 1 s of
    ACK_TIMEOUT (section 4.8.1 warns below that), but one even if it is less: a person waits.
    """
    retransmit = RETRANSMIT_MAX
    while retransmit > 1 and _ack_timeout_s(limit_s, retransmit) < 1.0:
        retransmit -= 1
    chosen = TransportTuning()
    chosen.MAX_RETRANSMIT = retransmit
    chosen.ACK_TIMEOUT = min(ACK_TIMEOUT_S, _ack_timeout_s(limit_s, retransmit))
    return chosen


def _ack_timeout_s(limit_s: float, retransmit: int) -> float:
    return limit_s / (((2 << retransmit) - 1) * ACK_RANDOM_FACTOR)


class Requests:
    """The client side of the gateway's CoAP endpoint."""

    def __init__(self, context: aiocoap.Context) -> None:
        self._context = context
        self._locks: dict[Peer, asyncio.Lock] = {}
        self._users: Counter[Peer] = Counter()

    async def get(self, peer: Peer, path: str, deadline: float) -> aiocoap.Message:
        """GET a percent-encoded path. See `_request` for what is raised."""
        return await self._request(peer, aiocoap.Message(code=aiocoap.GET), path, deadline)

    async def put(self, peer: Peer, path: str, payload: bytes, deadline: float) -> aiocoap.Message:
        """PUT text. See `_request` for what is raised."""
        message = aiocoap.Message(code=aiocoap.PUT, payload=payload)
        return await self._request(peer, message, path, deadline)

    async def _request(
        self, peer: Peer, message: aiocoap.Message, path: str, deadline: float
    ) -> aiocoap.Message:
        """Send a request, and return the answer whatever its code.

        `deadline` is the loop's time. Raises `TimeoutError` when it is over,
        `aiocoap.error.Error` or `OSError` when the network says no, `ProtocolError` for a path
        that cannot be.
        """
        message.opt.uri_path = path_segments(path)
        async with asyncio.timeout_at(deadline):
            # RFC 7252 section 4.7, NSTART = 1: one exchange at a time with an endpoint. What
            # waits here past its deadline is never sent.
            self._users[peer] += 1
            lock = self._locks.setdefault(peer, asyncio.Lock())
            try:
                async with lock:
                    limit_s = deadline - asyncio.get_running_loop().time()
                    message.transport_tuning = tuning(limit_s)
                    message.remote = peer
                    return await self._context.request(message).response
            except aiocoap.error.TimeoutError as error:
                raise TimeoutError from error
            finally:
                self._users[peer] -= 1
                if not self._users[peer]:
                    del self._users[peer], self._locks[peer]
