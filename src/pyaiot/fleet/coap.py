# SPDX-License-Identifier: BSD-3-Clause
"""A virtual CoAP node: posts readings and `alive`, and has an LED. Pure."""

import heapq
import itertools
import random
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.devices.addresses import SocketAddress, resolve
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_server import CoapNodeServer
from pyaiot.devices.coap_posts import CoapPosts
from pyaiot.devices.schedule import next_occurrence
from pyaiot.errors import ProtocolError
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import ReadingSeries
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.protocols.coap.message import CoapMessage, decode_uint
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber, code_text

ALIVE_PERIOD_S: Final = 30.0
"""Seconds between two `alive` posts of an accepted node."""
ANNOUNCE_PERIOD_S: Final = 1.0
"""Seconds between two `alive` posts until the gateway accepts the node."""
RETRY_S: Final = 0.5
"""Delay before a refused reading is sent again."""
RETRY_MAX_S: Final = 5.0
"""Longest delay. A longer Max-Age of the refusal is cut to it."""
ANSWER_LIMIT_S: Final = 5.0
"""A NON post without an answer within this counts as not acknowledged."""
_GATEWAY: Final = "gateway"


class VirtualCoapNode(VirtualNode):
    """Call `boot` first. The methods are those of `DatagramNode`."""

    def __init__(
        self, uid: str, series: ReadingSeries, *, confirmable: bool, rng: random.Random
    ) -> None:
        super().__init__(uid, series)
        config = CoapNodeConfig(uid=uid, led=True, confirmable=confirmable)
        first = rng.getrandbits(16) + 1
        message_ids = (number & 0xFFFF for number in itertools.count(first))
        self._values = {"name": uid}
        self._server = CoapNodeServer(config, values=self._values, message_ids=message_ids)
        self._posts = CoapPosts(
            confirmable=confirmable, message_ids=message_ids, rng=rng, on_failed=self._post_failed
        )
        self._confirmable = confirmable
        self._replies: list[bytes] = []
        self._accepted = False
        self._alive_due = 0.0
        self._alive_posts: set[int] = set()
        self._reading_of: dict[int, int] = {}
        """Reading by message id, of unanswered posts."""
        self._sent: dict[int, float] = {}
        """Time sent by message id, of unanswered NON posts; oldest first."""
        self._retries: list[tuple[float, int]] = []
        """Heap of readings to send again, with the time."""

    @property
    def is_connected(self) -> bool:
        return self._accepted

    def boot(self, *, now: float) -> None:
        self._posts.post("alive", f"reset:{self.uid}", now=now)
        self._alive_due = now
        self.handle_timer(now=now)

    def get_timer(self) -> float:
        due = self._alive_due
        posts_due = self._posts.get_timer()
        if posts_due is not None:
            due = min(due, posts_due)
        if self._retries:
            due = min(due, self._retries[0][0])
        if self._sent:
            due = min(due, next(iter(self._sent.values())) + ANSWER_LIMIT_S)
        return due

    def handle_timer(self, *, now: float) -> None:
        if now >= self._alive_due:
            self._post_alive(now)
        while self._retries and self._retries[0][0] <= now:
            _, number = heapq.heappop(self._retries)
            if number in self.waiting and not self._send(number, now=now):
                heapq.heappush(self._retries, (now + RETRY_S, number))
        while self._sent:
            message_id, sent_at = next(iter(self._sent.items()))
            if now < sent_at + ANSWER_LIMIT_S:
                break
            self._post_failed(message_id)
        self._posts.handle_timer(now=now)

    def datagrams_to_send(self) -> list[bytes]:
        replies, self._replies = self._replies, []
        return replies + self._posts.datagrams_to_send()

    def receive_datagram(self, data: bytes, *, now: float) -> None:
        try:
            message = CoapMessage.from_bytes(data)
        except ProtocolError:
            return
        code_class = message.code >> 5
        if message.mtype in (MessageType.ACK, MessageType.RST):
            self._posts.receive_acknowledgement(message.message_id)
            if message.code != Code.EMPTY:
                self._handle_answer(message.message_id, message, now)
        elif code_class in (2, 4, 5):
            message_id = self._posts.receive_separate_response(message.token)
            if message.mtype == MessageType.CON:
                mtype = MessageType.RST if message_id is None else MessageType.ACK
                empty = CoapMessage(mtype, Code.EMPTY, message.message_id)
                self._replies.append(empty.to_bytes())
            if message_id is not None:
                self._handle_answer(message_id, message, now)
        elif code_class == 0 and message.code != Code.EMPTY:
            result = self._server.receive_request(message, len(data), _GATEWAY, now=now)
            if result.data:
                self._replies.append(result.data)
            if result.changed:
                text = f"{result.changed}:{self._values[result.changed]}"
                self._posts.post("server", text, now=now)

    def _send(self, number: int, *, now: float) -> bool:
        message_id = self._posts.post("server", f"{RESOURCE}:{number}", now=now)
        if message_id is None:
            return False
        self._reading_of[message_id] = number
        if not self._confirmable:
            self._sent[message_id] = now
        return True

    def _post_alive(self, now: float) -> None:
        period_s = ALIVE_PERIOD_S if self._accepted else ANNOUNCE_PERIOD_S
        self._alive_due = next_occurrence(self._alive_due, period_s, now)
        message_id = self._posts.post("alive", f"alive:{self.uid}", now=now)
        if message_id is not None:
            self._alive_posts.clear()
            self._alive_posts.add(message_id)

    def _handle_answer(self, message_id: int, answer: CoapMessage, now: float) -> None:
        if message_id in self._alive_posts:
            self._alive_posts.clear()
            self._handle_alive_answer(answer, now)
            return
        number = self._reading_of.pop(message_id, None)
        self._sent.pop(message_id, None)
        if number is None:
            return
        if answer.code >> 5 == 2:
            self._acknowledged(number)
            return
        wait_s = RETRY_S
        if answer.code == Code.SERVICE_UNAVAILABLE:
            # The gateway was restarted and does not know the node: announce it at once.
            if self._accepted:
                self._accepted = False
                self._alive_due = now
                self._post_alive(now)
        elif answer.code == Code.TOO_MANY_REQUESTS:
            max_age = answer.option(OptionNumber.MAX_AGE)
            wait_s = decode_uint(max_age) if max_age is not None else RETRY_MAX_S
        is_temporary = answer.code in (Code.SERVICE_UNAVAILABLE, Code.TOO_MANY_REQUESTS)
        if self._refused(number, code_text(answer.code), is_temporary=is_temporary):
            heapq.heappush(self._retries, (now + min(wait_s, RETRY_MAX_S), number))

    def _handle_alive_answer(self, answer: CoapMessage, now: float) -> None:
        if answer.code >> 5 != 2:
            self.series.tally.refusals[code_text(answer.code)] += 1
            return
        if not self._accepted:
            self._accepted = True
            self.series.tally.connections += 1
            self._alive_due = now + ALIVE_PERIOD_S

    def _post_failed(self, message_id: int) -> None:
        """Drop a post without an answer. Boards send the next reading instead."""
        self._sent.pop(message_id, None)
        number = self._reading_of.pop(message_id, None)
        if number is not None:
            self._give_up(number)


class CoapFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a fleet for CoAP."""

    coap: Annotated[int, Meta(ge=0, le=NODES_MAX, description="Number of CoAP nodes; 0: none.")] = (
        10
    )
    non: Annotated[
        bool,
        Meta(
            description="CoAP nodes post with NON instead of CON, as most boards do: lost posts are"
            " not retransmitted."
        ),
    ] = False
    coap_port: Annotated[Port, Meta(description="UDP port of the CoAP gateway.")] = 5683


class CoapNodeFactory(NodeFactory):
    """Creates virtual CoAP nodes."""

    def __init__(self, settings: CoapFleetSettings, run: FleetRun, gateway: SocketAddress) -> None:
        self._settings = settings
        self._run = run
        self._gateway = gateway

    @classmethod
    async def open(cls, settings: CoapFleetSettings, run: FleetRun) -> "CoapNodeFactory":
        return cls(settings, run, await resolve(run.gateway_host, settings.coap_port, 0))

    @property
    def target(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, self._settings.coap_port, "coap"

    def add(self, uid: str, series: ReadingSeries) -> VirtualNode:
        node = VirtualCoapNode(uid, series, confirmable=not self._settings.non, rng=self._run.rng)
        self._run.datagrams.add_node(node, self._gateway)
        return node
