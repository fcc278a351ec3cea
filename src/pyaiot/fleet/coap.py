# SPDX-License-Identifier: BSD-3-Clause
"""A virtual CoAP node: posts readings, says that it is alive, has an LED. Pure."""

import heapq
import itertools
import random
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.devices.addresses import Address, resolve
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_server import CoapNodeServer
from pyaiot.devices.coap_posts import CoapPosts
from pyaiot.devices.schedule import next_due
from pyaiot.errors import ProtocolError
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import Series
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.protocols.coap.message import CoapMessage, decode_uint
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber, code_text

ALIVE_PERIOD_S: Final = 30.0
ALIVE_AGAIN_S: Final = 1.0
"""A node that its gateway does not know says so often who it is, until it is taken in."""
RETRY_S: Final = 0.5
"""A reading that was refused because the gateway does not know the node is sent again so soon."""
RETRY_MAX_S: Final = 5.0
"""However long a refusal says to wait."""
ANSWER_LIMIT_S: Final = 5.0
"""A NON post without an answer for so long is not acknowledged."""
_GATEWAY: Final = "gateway"


class VirtualCoapNode(VirtualNode):
    """Call `boot` first. Send what `datagrams_to_send` gives, and call it again at `next_wake`."""

    def __init__(self, uid: str, series: Series, *, confirmable: bool, rng: random.Random) -> None:
        super().__init__(uid, series)
        config = CoapNodeConfig(uid=uid, led=True, confirmable=confirmable)
        first = rng.getrandbits(16) + 1
        message_ids = (number & 0xFFFF for number in itertools.count(first))
        self._values = {"name": uid}
        self._server = CoapNodeServer(config, values=self._values, message_ids=message_ids)
        self._posts = CoapPosts(
            confirmable=confirmable, message_ids=message_ids, rng=rng, gave_up=self._post_lost
        )
        self._confirmable = confirmable
        self._replies: list[bytes] = []
        self._taken_in = False
        self._alive_due = 0.0
        self._alive_posts: set[int] = set()
        self._number_of: dict[int, int] = {}
        """Message id → reading, of posts without an answer."""
        self._sent: dict[int, float] = {}
        """Message id → when, of NON posts without an answer; the oldest first."""
        self._again: list[tuple[float, int]] = []
        """Readings to be sent again, as a heap."""

    @property
    def is_connected(self) -> bool:
        return self._taken_in

    def boot(self, *, now: float) -> None:
        self._posts.post("alive", f"reset:{self.uid}", now=now)
        self._alive_due = now

    @property
    def next_wake(self) -> float:
        due = min(self._alive_due, self._posts.next_due)
        if self._again:
            due = min(due, self._again[0][0])
        if self._sent:
            due = min(due, next(iter(self._sent.values())) + ANSWER_LIMIT_S)
        return due

    def datagrams_to_send(self, *, now: float) -> list[bytes]:
        if now >= self._alive_due:
            self._say_alive(now)
        while self._again and self._again[0][0] <= now:
            _, number = heapq.heappop(self._again)
            if number in self.waiting and not self._send(number, now=now):
                heapq.heappush(self._again, (now + RETRY_S, number))
        while self._sent:
            message_id, sent_at = next(iter(self._sent.items()))
            if now < sent_at + ANSWER_LIMIT_S:
                break
            self._post_lost(message_id)
        replies, self._replies = self._replies, []
        return replies + self._posts.to_send(now=now)

    def receive_datagram(self, data: bytes, *, now: float) -> None:
        try:
            message = CoapMessage.from_bytes(data)
        except ProtocolError:
            return
        code_class = message.code >> 5
        if message.mtype in (MessageType.ACK, MessageType.RST):
            self._posts.receive_acknowledgement(message.message_id)
            if message.code != Code.EMPTY:
                self._answered(message.message_id, message, now)
        elif code_class in (2, 4, 5):
            message_id = self._posts.receive_separate_response(message.token)
            if message.mtype == MessageType.CON:
                mtype = MessageType.RST if message_id is None else MessageType.ACK
                empty = CoapMessage(mtype, Code.EMPTY, message.message_id)
                self._replies.append(empty.to_bytes())
            if message_id is not None:
                self._answered(message_id, message, now)
        elif code_class == 0 and message.code != Code.EMPTY:
            reply = self._server.receive_request(message, len(data), _GATEWAY, now=now)
            if reply.data:
                self._replies.append(reply.data)
            if reply.changed:
                text = f"{reply.changed}:{self._values[reply.changed]}"
                self._posts.post("server", text, now=now)

    def _send(self, number: int, *, now: float) -> bool:
        message_id = self._posts.post("server", f"{RESOURCE}:{number}", now=now)
        if message_id is None:
            return False
        self._number_of[message_id] = number
        if not self._confirmable:
            self._sent[message_id] = now
        return True

    def _say_alive(self, now: float) -> None:
        period_s = ALIVE_PERIOD_S if self._taken_in else ALIVE_AGAIN_S
        self._alive_due = next_due(self._alive_due, period_s, now)
        message_id = self._posts.post("alive", f"alive:{self.uid}", now=now)
        if message_id is not None:
            self._alive_posts.clear()
            self._alive_posts.add(message_id)

    def _answered(self, message_id: int, answer: CoapMessage, now: float) -> None:
        if message_id in self._alive_posts:
            self._alive_posts.clear()
            self._alive_answered(answer, now)
            return
        number = self._number_of.pop(message_id, None)
        self._sent.pop(message_id, None)
        if number is None:
            return
        if answer.code >> 5 == 2:
            self._acknowledged(number)
            return
        wait_s = RETRY_S
        if answer.code == Code.SERVICE_UNAVAILABLE:
            # It was started again, and does not know who we are: a node says so at once.
            if self._taken_in:
                self._taken_in = False
                self._alive_due = now
        elif answer.code == Code.TOO_MANY_REQUESTS:
            max_age = answer.option(OptionNumber.MAX_AGE)
            wait_s = decode_uint(max_age) if max_age is not None else RETRY_MAX_S
        for_now = answer.code in (Code.SERVICE_UNAVAILABLE, Code.TOO_MANY_REQUESTS)
        if self._refused(number, code_text(answer.code), for_now=for_now):
            heapq.heappush(self._again, (now + min(wait_s, RETRY_MAX_S), number))

    def _alive_answered(self, answer: CoapMessage, now: float) -> None:
        if answer.code >> 5 != 2:
            self.series.account.refusals[code_text(answer.code)] += 1
            return
        if not self._taken_in:
            self._taken_in = True
            self.series.account.connections += 1
            self._alive_due = now + ALIVE_PERIOD_S

    def _post_lost(self, message_id: int) -> None:
        """Nobody answered it: a board makes another reading instead."""
        self._sent.pop(message_id, None)
        number = self._number_of.pop(message_id, None)
        if number is not None:
            self._give_up(number)


class CoapFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a fleet that concern CoAP."""

    coap: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak CoAP; 0 leaves it out.")
    ] = 10
    non: Annotated[
        bool,
        Meta(
            description="CoAP nodes post with NON, as most boards do: a lost post is not repeated,"
            " and one without an answer is not acknowledged. Else with CON."
        ),
    ] = False
    coap_port: Annotated[Port, Meta(description="UDP port of the CoAP gateway.")] = 5683


class CoapNodeFactory(NodeFactory):
    """Makes virtual CoAP nodes."""

    def __init__(self, settings: CoapFleetSettings, run: FleetRun, gateway: Address) -> None:
        self._settings = settings
        self._run = run
        self._gateway = gateway

    @classmethod
    async def open(cls, settings: CoapFleetSettings, run: FleetRun) -> "CoapNodeFactory":
        return cls(settings, run, await resolve(run.gateway_host, settings.coap_port, 0))

    @property
    def place(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, self._settings.coap_port, "coap"

    def add(self, uid: str, series: Series) -> VirtualNode:
        node = VirtualCoapNode(uid, series, confirmable=not self._settings.non, rng=self._run.rng)
        self._run.datagrams.add_node(node, self._gateway)
        return node
