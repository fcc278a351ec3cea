# SPDX-License-Identifier: BSD-3-Clause
"""Observes and polls resources of nodes, and receives their notifications.

Notifications do not go through aiocoap: its state for each of them would cost more than the rest of
their processing. Their tokens are random, so that an off-path attacker cannot forge one.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, Protocol, TypeAlias

from pyaiot.errors import ProtocolError, TooFast
from pyaiot.gateways.coap.host_turns import HostTurns
from pyaiot.gateways.coap.observations import Observation, Observations, ResponseKind
from pyaiot.gateways.coap.requests import NOT_ACCEPTED, Requests
from pyaiot.protocols.coap.message import Block, CoapMessage
from pyaiot.protocols.coap.numbers import TOKEN_BYTES_MAX, Code, MessageType, OptionNumber
from pyaiot.protocols.coap.observe import max_age_s, observe_number
from pyaiot.protocols.coap.values import content_format
from pyaiot.transport.peers import Peer

READS_MAX: Final = 64
"""Largest number of due resources that are read at the same time. Others wait."""
READS_PER_HOST_MAX: Final = 16
"""The same for the nodes of one host. Others of this host wait, and do not delay other hosts."""
READ_LIMIT_S: Final = 5.0
"""How long a node may take to answer one of these reads. After that it counts as failed."""
_MARK: Final = 0xA7
"""The first byte of tokens of observations. aiocoap counts its own tokens from a small number."""

log = logging.getLogger(__name__)


class VerifyingSocket(Protocol):
    """The part of the endpoint that the observer uses."""

    def verify(self, peer: Peer) -> None:
        """Verify a peer: it answered with a token that only the receiver of our request can
        know."""
        ...


OnValues: TypeAlias = Callable[[str, str, bytes, int | None, bool], None]
"""Takes uid, resource, payload, Content-Format, and whether it is a notification.

Raises `TooFast`.
"""


class Observer:
    """The observations of all nodes."""

    def __init__(
        self,
        socket: VerifyingSocket,
        requests: Requests,
        loop: asyncio.AbstractEventLoop,
        on_values: OnValues,
        *,
        poll_s: float,
    ) -> None:
        self._random = Random()  # noqa: S311 - it spreads load
        self.observations: Observations[Peer] = Observations(
            poll_s=poll_s, random=self._random, next_token=_next_token
        )
        self._socket = socket
        self._requests = requests
        self._loop = loop
        self._on_values = on_values
        self._fetching: set[Observation[Peer]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: HostTurns[Observation[Peer]] = HostTurns(READS_MAX, READS_PER_HOST_MAX)
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self.observations)

    async def run(self) -> None:
        """Read due resources, until cancelled."""
        try:
            while True:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    # Until the next due time, or until an earlier one is set.
                    async with asyncio.timeout_at(self.observations.get_timer()):
                        await self._wake.wait()
                for observation in self.observations.handle_timer(now=self._loop.time()):
                    self._turns.add(observation, observation.peer.address.host)
                self._begin_reads()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def read_first(
        self,
        uid: str,
        resource: str,
        path: str,
        peer: Peer,
        deadline: float,
        *,
        observable: bool,
        accept: int | None = None,
    ) -> bool:
        """Read a discovered resource, and observe or poll it from now on. Returns whether it
        answered.

        `accept`: the Content-Format to request.
        """
        now = self._loop.time()
        observation = self.observations.add(
            uid, resource, path, peer, observable=observable, now=now, accept=accept
        )
        if observation is not None:
            self._wake.set()
            return await self._read(observation, deadline)
        return await self.read_once(uid, resource, path, peer, deadline, accept=accept)

    async def read_once(
        self,
        uid: str,
        resource: str,
        path: str,
        peer: Peer,
        deadline: float,
        *,
        accept: int | None = None,
    ) -> bool:
        """Read a resource once. Returns whether it answered."""
        try:
            response = await self._requests.get(peer, path, deadline, accept=accept)
        except _FAILURES as error:
            log.debug("%s: GET %s: %r", uid, path, error)
            return False
        if response.code == Code.CONTENT:
            self._on_values(uid, resource, response.payload, _format(response), False)
        return True

    def forget(self, uid: str) -> None:
        """The node left or rebooted. Its further notifications are answered with a reset."""
        for observation in self.observations.forget(uid):
            self._turns.remove(observation)

    # -- receiving ------------------------------------------------------------------------------

    def receive_response(self, message: CoapMessage, peer: Peer) -> bytes | None:
        """Returns the acknowledgement or reset (empty: none); None if the response belongs to no
        observation."""
        if len(message.token) != TOKEN_BYTES_MAX or message.token[0] != _MARK:
            return None
        try:
            return self._response(message, peer)
        except ProtocolError as error:
            log.debug("%s: %s", peer, error)
            return _reset(message) if message.mtype is MessageType.CON else b""

    def _response(self, message: CoapMessage, peer: Peer) -> bytes:
        observation = self.observations.by_token(message.token)
        if observation is None or observation.peer != peer:
            # RFC 7641 section 3.6: a reset of an unwanted notification ends the observation.
            return b"" if message.mtype is MessageType.ACK else _reset(message)
        self._socket.verify(observation.peer)
        if not self._receive_response(observation, message, notified=True):
            return _reset(message)
        if message.mtype is MessageType.CON:
            return CoapMessage(MessageType.ACK, 0, message.message_id).to_bytes()
        return b""

    def _receive_response(
        self, observation: Observation[Peer], message: CoapMessage, *, notified: bool
    ) -> bool:
        """Process a response or a notification. Returns False if the observation ends."""
        if message.code in NOT_ACCEPTED:
            observation.accept = None
        now = self._loop.time()
        kind = self.observations.receive_response(
            observation, message.code, observe_number(message), max_age_s(message), now=now
        )
        if kind is ResponseKind.FRESH:
            try:
                self._value(observation, message, notified=notified)
                observation.too_fast = 0
            except TooFast:
                return not self.observations.too_fast(observation, now=now)
        return True

    def _value(
        self, observation: Observation[Peer], message: CoapMessage, *, notified: bool
    ) -> None:
        block = message.option(OptionNumber.BLOCK2)
        if block is not None and Block.from_bytes(block).more:
            # RFC 7959 section 2.6: a notification has the first block, the rest is requested.
            if observation not in self._fetching:
                self._fetching.add(observation)
                self._start(self._fetch(observation))
            return
        format_ = content_format(message.option(OptionNumber.CONTENT_FORMAT))
        self._on_values(observation.uid, observation.resource, message.payload, format_, notified)

    # -- reading --------------------------------------------------------------------------------

    def _begin_reads(self) -> None:
        while (turn := self._turns.begin()) is not None:
            self._start(self._read_in_turn(*turn))

    async def _read_in_turn(self, observation: Observation[Peer], host: str) -> None:
        try:
            if not observation.ended:
                await self._read(observation, self._loop.time() + READ_LIMIT_S)
        finally:
            self._turns.end(host)
        # Not after a cancellation: the gateway ends then.
        self._begin_reads()

    async def _read(self, observation: Observation[Peer], deadline: float) -> bool:
        try:
            if observation.observes:
                accept = observation.accept
                answered = await self._register(observation, deadline)
                if observation.accept != accept and not observation.ended:
                    answered = await self._register(observation, deadline)
            else:
                answered = await self._poll(observation, deadline)
        except _FAILURES as error:
            log.debug("%s: GET %s: %r", observation.uid, observation.path, error)
            answered = False
        if not answered and not observation.ended:
            self.observations.handle_failure(observation, now=self._loop.time())
        self._wake.set()
        return answered

    async def _poll(self, observation: Observation[Peer], deadline: float) -> bool:
        response = await self._requests.get(
            observation.peer, observation.path, deadline, accept=observation.accept
        )
        kind = self.observations.receive_response(
            observation, response.code, None, 0.0, now=self._loop.time()
        )
        if kind is ResponseKind.FRESH and not observation.ended:
            self._on_values(
                observation.uid, observation.resource, response.payload, _format(response), False
            )
        return True

    async def _fetch(self, observation: Observation[Peer]) -> None:
        try:
            deadline = self._loop.time() + READ_LIMIT_S
            response = await self._requests.get(
                observation.peer, observation.path, deadline, accept=observation.accept
            )
        except _FAILURES as error:
            log.debug("%s: GET %s: %r", observation.uid, observation.path, error)
        else:
            if response.code == Code.CONTENT and not observation.ended:
                self._on_values(
                    observation.uid,
                    observation.resource,
                    response.payload,
                    _format(response),
                    False,
                )
        finally:
            self._fetching.discard(observation)

    async def _register(self, observation: Observation[Peer], deadline: float) -> bool:
        """GET with Observe 0 (RFC 7641 section 3.1)."""
        observation.registering += 1
        try:
            response = await self._requests.observe(
                observation.peer,
                observation.path,
                observation.token,
                deadline,
                accept=observation.accept,
            )
            if not observation.ended:
                self._receive_response(observation, response, notified=False)
        finally:
            observation.registering -= 1
        return True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name="coap observation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _next_token() -> bytes:
    return bytes((_MARK,)) + secrets.token_bytes(TOKEN_BYTES_MAX - 1)


def _reset(message: CoapMessage) -> bytes:
    return CoapMessage(MessageType.RST, 0, message.message_id).to_bytes()


def _format(response: CoapMessage) -> int | None:
    return content_format(response.option(OptionNumber.CONTENT_FORMAT))


_FAILURES: Final = (OSError, ProtocolError)
"""`TimeoutError` is an `OSError` too."""
