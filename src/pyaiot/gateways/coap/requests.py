# SPDX-License-Identifier: BSD-3-Clause
"""Requests to nodes: one at a time for each, each with a deadline, none on the wire after it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import aiocoap
from aiocoap.numbers.constants import TransportTuning

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.coap.endpoint import Peer
from pyaiot.protocols.coap_blocks import Download, Upload
from pyaiot.protocols.coap_message import encode_uint
from pyaiot.protocols.link_format import path_segments

RETRANSMIT_MAX: Final = 4
"""RFC 7252 section 4.8, MAX_RETRANSMIT: not more, however late the deadline is."""
ACK_RANDOM_FACTOR: Final = 1.5
ACK_TIMEOUT_S: Final = 2.0
"""RFC 7252 section 4.8."""
WHOLE_BYTES_MAX: Final = 1024
"""A payload that is sent in one piece. Larger: in blocks (RFC 7959)."""
SZX_AFTER_413: Final = 2
"""What a node says to be too large is sent again in blocks of 64 bytes: boards of old drop requests
above 128."""


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
        """GET a percent-encoded path, and return the answer whatever its code.

        A body in blocks is read whole (RFC 7959 section 2.4). `deadline` is the loop's time.
        Raises `TimeoutError` when it is over, `aiocoap.error.Error` or `OSError` when the network
        says no, `ProtocolError` for a path that cannot be, and for blocks that make no body.
        """
        segments = path_segments(path)
        async with self.turn(peer, deadline):
            download, block = Download(), None
            while True:
                message = aiocoap.Message(code=aiocoap.GET)
                if block is not None:
                    message.opt.block2 = block.num, block.more, block.szx
                answer = await self._exchange(peer, message, segments, deadline)
                if answer.code != aiocoap.CONTENT:
                    return answer
                said = answer.opt.block2
                etag = answer.opt.etag
                try:
                    block = download.add(_option(said), etag, answer.payload)
                except Refused as error:
                    raise ProtocolError(str(error)) from error
                if block is None:
                    answer.payload = download.body
                    return answer

    async def put(self, peer: Peer, path: str, payload: bytes, deadline: float) -> aiocoap.Message:
        """PUT text, in blocks where it is large, or too large for the node. See `get`."""
        segments = path_segments(path)
        async with self.turn(peer, deadline):
            if len(payload) <= WHOLE_BYTES_MAX:
                message = aiocoap.Message(code=aiocoap.PUT, payload=payload)
                answer = await self._exchange(peer, message, segments, deadline)
                too_large = answer.code == aiocoap.REQUEST_ENTITY_TOO_LARGE
                if not too_large or len(payload) <= 16 << SZX_AFTER_413:
                    return answer
                upload = Upload(payload, _smaller(answer.opt.block1))
            else:
                upload = Upload(payload)
            refusal = answer if len(payload) <= WHOLE_BYTES_MAX else None
            while True:
                block, piece = upload.block()
                message = aiocoap.Message(code=aiocoap.PUT, payload=piece)
                message.opt.block1 = block.num, block.more, block.szx
                if block.num == 0:
                    message.opt.size1 = len(payload)
                answer = await self._exchange(peer, message, segments, deadline)
                if not upload.answered(int(answer.code), _option(answer.opt.block1)):
                    if refusal is not None and answer.code == aiocoap.BAD_OPTION:
                        return refusal  # it knows no blocks: what it said first is the reason
                    return answer

    @contextlib.asynccontextmanager
    async def turn(self, peer: Peer, deadline: float) -> AsyncIterator[None]:
        """RFC 7252 section 4.7, NSTART = 1: one exchange at a time with an endpoint.

        What waits here past its deadline is never sent; then, and when the deadline comes
        inside, raises `TimeoutError`.
        """
        async with asyncio.timeout_at(deadline):
            self._users[peer] += 1
            lock = self._locks.setdefault(peer, asyncio.Lock())
            try:
                async with lock:
                    yield
            except aiocoap.error.TimeoutError as error:
                raise TimeoutError from error
            finally:
                self._users[peer] -= 1
                if not self._users[peer]:
                    del self._users[peer], self._locks[peer]

    async def _exchange(
        self, peer: Peer, message: aiocoap.Message, segments: tuple[str, ...], deadline: float
    ) -> aiocoap.Message:
        message.opt.uri_path = segments
        message.transport_tuning = tuning(deadline - asyncio.get_running_loop().time())
        message.remote = peer
        # Blocks are put together here, where a body has a limit.
        return await self._context.request(message, handle_blockwise=False).response


def _option(block: Any) -> bytes | None:
    """A block option of aiocoap as it is on the wire."""
    if block is None:
        return None
    return encode_uint(block.block_number << 4 | block.more << 3 | block.size_exponent)


def _smaller(hint: Any) -> int:
    """The size exponent for what was too large: as the node says, or small."""
    return SZX_AFTER_413 if hint is None else min(hint.size_exponent, SZX_AFTER_413)
