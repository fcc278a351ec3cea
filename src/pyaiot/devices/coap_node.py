# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated CoAP node: on the wire, it behaves as a RIOT board. Pure.

Datagrams and `now` go in; datagrams and the time of the next timer come out. `coap_node_runner`
runs it on a socket.
"""

import itertools
import logging
import random
from typing import Final, NamedTuple

from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_poster import CoapNodePoster
from pyaiot.devices.coap_node_server import CoapNodeServer, RemoteAddress
from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.protocols.coap.numbers import Code, MessageType

log = logging.getLogger(__name__)

_FIRMWARE: Final = {"os": "riot", "mcu": "native", "vendor": "Pyaiot"}


class Datagram(NamedTuple):
    """Bytes to send to a peer; None is the CoAP port of the gateway."""

    data: bytes
    peer: RemoteAddress | None


class SimulatedCoapNode:
    """The node without its sockets. Call `boot` first, and again for a reboot.

    Call `handle_timer` when `get_timer` is due. After each call, send what `datagrams_to_send`
    returns. `now` is in seconds, on any monotonic clock.

    It dispatches datagrams: `CoapNodePoster` posts to the gateway, `CoapNodeServer` answers
    requests.
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
        """Start, or reboot: only the values of the resources are kept."""
        self._replies.clear()
        self._server.boot()
        self._poster.boot(now=now)

    def get_timer(self) -> float:
        """When to call `handle_timer`."""
        return self._poster.get_timer()

    def handle_timer(self, *, now: float) -> None:
        """Post what is due. Does nothing before `get_timer`."""
        self._poster.handle_timer(now=now)

    def datagrams_to_send(self) -> list[Datagram]:
        """Replies first, then posts."""
        replies, self._replies = self._replies, []
        return replies + [Datagram(data, None) for data in self._poster.datagrams_to_send()]

    def receive_datagram(self, data: bytes, peer: RemoteAddress, *, now: float) -> None:
        try:
            message = CoapMessage.from_bytes(data)
        except ProtocolError as error:
            log.debug("node %s dropped a datagram from %r: %s", self.uid, peer, error)
            if reset := rejection(data):
                self._replies.append(Datagram(reset, peer))
            return
        code_class = message.code >> 5
        if message.mtype in (MessageType.ACK, MessageType.RST):
            # The source address is not checked: a multi-homed gateway may answer from any address.
            self._poster.receive_acknowledgement(message.message_id)
        elif code_class == 0 and message.code != Code.EMPTY:
            reply = self._server.receive_request(message, len(data), peer, now=now)
            if reply.data:
                self._replies.append(Datagram(reply.data, peer))
            if reply.changed:
                self._poster.post_value(reply.changed, now=now)
        else:
            matches_post = code_class in (2, 4, 5) and self._poster.receive_separate_response(
                message.token
            )
            if message.mtype == MessageType.CON:
                # RST for a ping (RFC 7252 section 4.3), a reserved class or an unknown token (4.2).
                mtype = MessageType.ACK if matches_post else MessageType.RST
                empty = CoapMessage(mtype, Code.EMPTY, message.message_id)
                self._replies.append(Datagram(empty.to_bytes(), peer))
