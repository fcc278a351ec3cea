# SPDX-License-Identifier: BSD-3-Clause
"""A simulated CoAP node that behaves on the wire as a RIOT board does. Pure.

Datagrams and `now` go in; datagrams and the time of the next wake-up come out.
"""

import itertools
import logging
import random
from typing import Final, NamedTuple

from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_poster import CoapNodePoster
from pyaiot.devices.coap_node_server import CoapNodeServer, Peer
from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.protocols.coap.numbers import Code, MessageType

log = logging.getLogger(__name__)

_FIRMWARE: Final = {"os": "riot", "mcu": "native", "vendor": "Pyaiot"}


class Datagram(NamedTuple):
    """Bytes to send, to a peer or, with None, to the gateway's CoAP port."""

    data: bytes
    peer: Peer | None


class SimulatedCoapNode:
    """The node without its sockets. Call `boot` first, and again for a reboot.

    After each call, send what `datagrams_to_send` gives, and call it again at `next_wake`.
    `now` is in seconds, on any clock that never goes back.

    It only sorts what comes in: the poster speaks to the gateway, the server answers requests.
    """

    def __init__(self, config: CoapNodeConfig, *, rng: random.Random) -> None:
        self.uid = config.uid or f"{rng.getrandbits(60):015X}"
        self.values = {
            "name": config.name,
            "version": config.version,
            "board": config.board,
            **_FIRMWARE,
        }
        """The text of each resource, by its name."""
        first = rng.getrandbits(16) + 1
        message_ids = (number & 0xFFFF for number in itertools.count(first))
        self._poster = CoapNodePoster(
            config, uid=self.uid, values=self.values, message_ids=message_ids, rng=rng
        )
        self._server = CoapNodeServer(config, values=self.values, message_ids=message_ids)
        self._replies: list[Datagram] = []

    def boot(self, *, now: float) -> None:
        """Start, or start again with nothing in memory but the values of the resources."""
        self._replies.clear()
        self._server.boot()
        self._poster.boot(now=now)

    @property
    def next_wake(self) -> float:
        """When `datagrams_to_send` has something to do again, if nothing is received before."""
        return self._poster.next_wake

    def datagrams_to_send(self, *, now: float) -> list[Datagram]:
        """First the replies, then the posts."""
        replies, self._replies = self._replies, []
        return replies + [Datagram(data, None) for data in self._poster.posts_to_send(now=now)]

    def receive_datagram(self, data: bytes, peer: Peer, *, now: float) -> None:
        try:
            message = CoapMessage.from_bytes(data)
        except ProtocolError as error:
            log.debug("node %s drops a datagram of %r: %s", self.uid, peer, error)
            if reset := rejection(data):
                self._replies.append(Datagram(reset, peer))
            return
        code_class = message.code >> 5
        if message.mtype in (MessageType.ACK, MessageType.RST):
            # Not compared with the gateway's address: a gateway with several may answer from any.
            self._poster.receive_acknowledgement(message.message_id)
        elif code_class == 0 and message.code != Code.EMPTY:
            reply = self._server.receive_request(message, len(data), peer, now=now)
            if reply.data:
                self._replies.append(Datagram(reply.data, peer))
            if reply.changed:
                self._poster.post_value(reply.changed, now=now)
        else:
            ours = code_class in (2, 4, 5) and self._poster.receive_separate_response(message.token)
            if message.mtype == MessageType.CON:
                # RST: a ping (RFC 7252 section 4.3), a reserved class, or no response to us (4.2).
                mtype = MessageType.ACK if ours else MessageType.RST
                empty = CoapMessage(mtype, Code.EMPTY, message.message_id)
                self._replies.append(Datagram(empty.to_bytes(), peer))
