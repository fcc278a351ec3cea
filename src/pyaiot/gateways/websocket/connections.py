# SPDX-License-Identifier: BSD-3-Clause
"""The connections of WebSocket nodes: who is who, and what they say. Touches no socket.

Errors that are raised end the connection: `ProtocolError` with 1003, `Refused` with 1008.
"""

import asyncio
import logging
import secrets
from typing import Final, Protocol

from pyaiot.errors import Refused
from pyaiot.gateways.flushing import until_flushed
from pyaiot.gateways.gateway import Gateway, Outcome
from pyaiot.messages import LeftReason, check_uid
from pyaiot.protocols.websocket_node import (
    DISCOVER,
    Named,
    Problem,
    Update,
    Write,
    decode_from_node,
    encode,
)
from pyaiot.transport.rate_limit import RateLimit, RateLimitedLog
from pyaiot.transport.websocket_frames import PING, text_frame

NAMING_LIMIT_S: Final = 1.0
"""A node that has said nothing for so long after it came gets a uid of ours."""
CLAIM_LIMIT_S: Final = 3.0
"""A connection whose uid is claimed by another one answers a ping within this, or is cut off."""
BUFFER_MAX: Final = 64 * 1024
"""Bytes that wait in the socket of a node. Above, commands are `unreachable`: it reads nothing."""
PROBLEMS_PER_S: Final = 1.0
PROBLEMS_BURST: Final = 5.0
"""Refusals that a node is told of, sustained and at once. All of them are counted."""
_UID_BYTES: Final = 16

log = logging.getLogger(__name__)


class Wire(Protocol):
    """The socket of a node. Nothing here waits."""

    def write(self, data: bytes) -> None:
        """Whole frames."""
        ...

    def buffered(self) -> int:
        """Bytes that the system did not take yet."""
        ...

    def cut(self) -> None:
        """Drop the connection, without a word."""
        ...


class Connection:
    """One connection, and the node at its end once it is known."""

    __slots__ = ("asked", "heard", "naming", "problems", "turn", "uid", "wire")

    def __init__(self, wire: Wire, now: float) -> None:
        self.wire = wire
        self.uid: str | None = None
        self.heard = asyncio.Event()
        """Something was heard since the ping that asks whether it lives."""
        self.asked = False
        """Such a ping is under way."""
        self.naming: asyncio.TimerHandle | None = None
        self.turn = asyncio.Lock()
        """Of the command that is being written: they go out in their order."""
        self.problems = RateLimit(per_s=PROBLEMS_PER_S, burst=PROBLEMS_BURST, now=now)


class Connections:
    """All connections of a gateway. Its device side."""

    def __init__(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self.gateway = gateway
        self.refused = 0
        """Connections, updates and values that were not taken, ever."""
        self._loop = loop
        self._by_uid: dict[str, Connection] = {}
        self._refusals = RateLimitedLog(log)
        self._replacements = RateLimitedLog(log)

    # -- a connection, from its beginning to its end ----------------------------------------------

    async def opened(self, wire: Wire, uid: str | None) -> Connection:
        """A node is connected. `uid` is what it claims in its request. Raises, see above."""
        connection = Connection(wire, self._loop.time())
        if uid is None:
            connection.naming = self._loop.call_later(NAMING_LIMIT_S, self._name, connection)
        else:
            await self._claim(connection, uid)
        wire.write(text_frame(DISCOVER))
        return connection

    def alive(self, connection: Connection) -> None:
        """Anything was received, be it a pong."""
        connection.heard.set()

    async def said(self, connection: Connection, data: bytes) -> None:
        """A message of the node. Raises, see above."""
        connection.heard.set()
        match decode_from_node(data):
            case Named(uid=uid):
                await self._claim(connection, uid)
            case Update(data=values):
                if connection.uid is None:
                    self._name(connection)
                self._update(connection, values)

    def closed(self, connection: Connection, reason: LeftReason) -> None:
        """The connection is gone."""
        self._stop_naming(connection)
        uid = connection.uid
        if uid is not None and self._by_uid.get(uid) is connection:
            del self._by_uid[uid]
            self.gateway.left(uid, reason)

    def refuse(self, who: object, problem: object) -> None:
        """Count what was not taken, and log it."""
        self.refused += 1
        now = self._loop.time()
        self._refusals.warning("the WebSocket node %s was refused: %s", who, problem, now=now)

    # -- who it is ---------------------------------------------------------------------------------

    def _name(self, connection: Connection) -> None:
        """A uid for this connection alone, that nobody can guess and claim."""
        self._enter(connection, secrets.token_hex(_UID_BYTES))

    async def _claim(self, connection: Connection, uid: str) -> None:
        if connection.uid is not None:
            if uid != connection.uid:
                raise Refused("a node says who it is once, before anything else")
            return
        self._stop_naming(connection)
        check_uid(uid)
        owner = self._by_uid.get(uid)
        if owner is not None:
            if owner.asked or await self._lives(owner):
                raise Refused("the node with this uid is connected already")
            if self._by_uid.get(uid, owner) is not owner:
                raise Refused("another node with this uid was quicker")
            self._replacements.info(
                "%s has a new connection: the old one is dead", uid, now=self._loop.time()
            )
            owner.wire.cut()
        self._enter(connection, uid)

    async def _lives(self, owner: Connection) -> bool:
        owner.asked = True
        owner.heard.clear()
        owner.wire.write(PING)
        try:
            async with asyncio.timeout(CLAIM_LIMIT_S):
                await owner.heard.wait()
        except TimeoutError:
            return False
        finally:
            owner.asked = False
        return True

    def _enter(self, connection: Connection, uid: str) -> None:
        self._stop_naming(connection)
        self.gateway.heard(uid, {"protocol": "WebSocket"})
        # Its connection is one of a limited number, of which each host has a share.
        self.gateway.nodes.prove(uid)
        if uid in self._by_uid:
            # The same node in a new connection: it rebooted, or changed networks.
            self.gateway.reset(uid)
        connection.uid = uid
        self._by_uid[uid] = connection

    def _stop_naming(self, connection: Connection) -> None:
        if connection.naming is not None:
            connection.naming.cancel()
            connection.naming = None

    # -- what it says ------------------------------------------------------------------------------

    def _update(self, connection: Connection, values: dict[str, object]) -> None:
        uid = connection.uid
        assert uid is not None  # noqa: S101 - it was named before this
        gateway = self.gateway
        try:
            gateway.take_turn(uid, readings=max(1, len(values)))
        except Refused as error:
            self._tell(connection, error)
            return
        for resource, value in values.items():
            try:
                gateway.reading(uid, resource, value)
            except Refused as error:
                self._tell(connection, error)

    def _tell(self, connection: Connection, problem: Refused) -> None:
        self.refuse(connection.uid, problem)
        wire = connection.wire
        if not connection.problems.take(self._loop.time()) and wire.buffered() <= BUFFER_MAX:
            wire.write(text_frame(encode(Problem(str(problem)))))

    # -- commands ----------------------------------------------------------------------------------

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        del deadline  # this is cancelled then
        connection = self._by_uid.get(uid)
        if connection is None:
            return Outcome("unreachable", "the node is not connected")
        if connection.wire.buffered() > BUFFER_MAX:
            return Outcome("unreachable", "the node reads nothing of what it is sent")
        async with connection.turn:
            # In a buffer behind other bytes it would be sent whenever the node reads again.
            await until_flushed(connection.wire.buffered)
            if self._by_uid.get(uid) is not connection:
                return Outcome("unreachable", "the node is not connected any more")
            connection.wire.write(text_frame(encode(Write(resource, payload))))
            try:
                await until_flushed(connection.wire.buffered)
            except asyncio.CancelledError:
                # The deadline: its rest must not go out later, and half a frame is of no use.
                log.info("%s took no command until its deadline: it is cut off", uid)
                connection.wire.cut()
                raise
        return Outcome("sent")
