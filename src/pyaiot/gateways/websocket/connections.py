# SPDX-License-Identifier: BSD-3-Clause
"""The connections of WebSocket nodes: uids, readings and commands. Touches no socket.

Errors that are raised close the connection: `ProtocolError` with 1003, `Refused` with 1008.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from pyaiot.errors import Refused
from pyaiot.gateways.flushing import wait_until_flushed
from pyaiot.gateways.gateway import Gateway, Outcome
from pyaiot.messages import LeftReason, Reading, check_uid
from pyaiot.protocols.websocket_node import (
    DISCOVER,
    Named,
    NodeProblem,
    Update,
    Write,
    decode_from_node,
    encode,
    read_value,
)
from pyaiot.transport.rate_limit import RateLimit, RateLimitedLog
from pyaiot.transport.websocket_frames import PING, text_frame

NAMING_LIMIT_S: Final = 1.0
"""Time for a new connection to send its first message. After that the gateway assigns a uid."""
CLAIM_LIMIT_S: Final = 3.0
"""Time for a connection to answer a ping when another one claims its uid. After that it is
aborted."""
POLICY_VIOLATION: Final = 1008
"""The code with which forbidden connections of nodes are closed (RFC 6455 7.4.1)."""
BUFFER_MAX: Final = 64 * 1024
"""Number of bytes waiting in the socket of a node above which commands end in `unreachable`."""
PROBLEMS_PER_S: Final = 1.0
PROBLEMS_BURST: Final = 5.0
"""Rate limit and burst of refusals that are reported to a node. All of them are counted."""
_UID_BYTES: Final = 16

log = logging.getLogger(__name__)


class NodeSocket(Protocol):
    """The socket of a node. No method waits."""

    def write(self, data: bytes) -> None:
        """Write complete frames."""
        ...

    def buffered(self) -> int:
        """Number of bytes that the kernel has not accepted yet."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the connection with a close frame."""
        ...

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        ...


class NodeConnection:
    """One connection, and the uid of its node once it is known."""

    __slots__ = (
        *("knows_errors", "naming", "pinged", "problems", "received", "secured", "socket", "turn"),
        "uid",
    )

    def __init__(self, socket: NodeSocket, now: float) -> None:
        self.socket = socket
        self.uid: str | None = None
        self.secured = False
        """Whether a token has proved its uid."""
        self.received = asyncio.Event()
        """Set when anything is received after the ping that checks the connection."""
        self.pinged = False
        """Whether such a ping is unanswered."""
        self.naming: asyncio.TimerHandle | None = None
        self.turn = asyncio.Lock()
        """Held while a command is written: commands are sent in order."""
        self.knows_errors = False
        """The node sent its own uid, so it is newer than the legacy protocol. Legacy nodes read
        every frame as a command and fail on a missing key (legacy protocol, section 6)."""
        self.problems = RateLimit(per_s=PROBLEMS_PER_S, burst=PROBLEMS_BURST, now=now)


class NodeConnections:
    """All connections of a gateway. The `DeviceSide` of `Gateway`."""

    def __init__(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self.gateway = gateway
        self.refused = 0
        """Number of refused connections, updates and values."""
        self._loop = loop
        self._by_uid: dict[str, NodeConnection] = {}
        gateway.evicted = self._evicted
        self._refusals = RateLimitedLog(log)
        self._replacements = RateLimitedLog(log)

    # -- life of a connection ----------------------------------------------------------------------

    async def opened(
        self, socket: NodeSocket, uid: str | None, *, secured: bool = False
    ) -> NodeConnection:
        """A node has connected. `uid`: from its request; `secured`: its token proves it. Raises,
        see above."""
        connection = NodeConnection(socket, self._loop.time())
        connection.secured = secured
        if uid is None:
            connection.naming = self._loop.call_later(NAMING_LIMIT_S, self._assign_uid, connection)
        else:
            connection.knows_errors = True
            await self._claim(connection, uid)
        socket.write(text_frame(DISCOVER))
        return connection

    def alive(self, connection: NodeConnection) -> None:
        """A ping or pong was received."""
        connection.received.set()

    async def receive_message(self, connection: NodeConnection, data: bytes) -> None:
        """A message of the node was received. Raises, see above."""
        connection.received.set()
        match decode_from_node(data):
            case Named(uid=uid):
                connection.knows_errors = True
                await self._claim(connection, uid)
            case Update(data=values):
                if connection.uid is None:
                    self._assign_uid(connection)
                self._update(connection, values)

    def receive_values(self, connection: NodeConnection, messages: Sequence[bytes]) -> int:
        """Messages that arrived together. Those that change only a value are processed, up to the
        first other one. Returns how many; pass the others to `receive_message`."""
        uid, gateway = connection.uid, self.gateway
        if uid is None or self._by_uid.get(uid) is not connection:
            return 0
        connection.received.set()
        now, unix_time = self._loop.time(), gateway.unix_time
        readings: list[Reading] = []
        for message in messages:
            value = read_value(message)
            if value is None:
                break
            reading = gateway.nodes.known_reading(uid, *value, now=now, ts=unix_time())
            if reading is None:
                break
            readings.append(reading)
        live = [(uid, it.resource, it.data) for it in readings] if gateway.awaits_reports else ()
        gateway.report_readings(readings, live)
        return len(readings)

    def closed(self, connection: NodeConnection, reason: LeftReason) -> None:
        """The connection was closed or lost."""
        self._stop_naming(connection)
        uid = connection.uid
        if uid is not None and self._by_uid.get(uid) is connection:
            del self._by_uid[uid]
            self.gateway.left(uid, reason)

    def _evicted(self, uid: str) -> None:
        """Close the connection of a node that may no longer be connected: it was banned, or its
        credentials have changed."""
        connection = self._by_uid.pop(uid, None)
        if connection is not None:
            connection.socket.close(POLICY_VIOLATION, "the node may not be connected any more")

    def refuse(self, sender: object, problem: object) -> None:
        """Count and log something that was refused."""
        self.refused += 1
        now = self._loop.time()
        self._refusals.warning("refused WebSocket node %s: %s", sender, problem, now=now)
        self.gateway.rejections.refuse_message("WebSocket node %s refused: %s", sender, problem)

    # -- uids --------------------------------------------------------------------------------------

    def _assign_uid(self, connection: NodeConnection) -> None:
        """Assign a random uid, which no other node can claim."""
        self._enter(connection, secrets.token_hex(_UID_BYTES))

    async def _claim(self, connection: NodeConnection, uid: str) -> None:
        if connection.uid is not None:
            if uid != connection.uid:
                raise Refused("a node may send its uid only once, as its first message")
            return
        self._stop_naming(connection)
        check_uid(uid)
        if not connection.secured and self.gateway.devices.is_secured(uid):
            raise Refused(f"the node {uid} has a token, and this connection was made without it")
        owner = self._by_uid.get(uid)
        if owner is not None and connection.secured and not owner.secured:
            self._evicted(uid)
        elif owner is not None:
            if owner.pinged or await self._is_alive(owner):
                raise Refused("a node with this uid is already connected")
            if self._by_uid.get(uid, owner) is not owner:
                raise Refused("another node with this uid has connected meanwhile")
            self._replacements.info(
                "%s has a new connection; the old one did not answer", uid, now=self._loop.time()
            )
            owner.socket.abort()
        self._enter(connection, uid)

    async def _is_alive(self, owner: NodeConnection) -> bool:
        owner.pinged = True
        owner.received.clear()
        owner.socket.write(PING)
        try:
            async with asyncio.timeout(CLAIM_LIMIT_S):
                await owner.received.wait()
        except TimeoutError:
            return False
        finally:
            owner.pinged = False
        return True

    def _enter(self, connection: NodeConnection, uid: str) -> None:
        self._stop_naming(connection)
        self.gateway.node_seen(uid, {"protocol": "WebSocket"}, secured=connection.secured)
        # Connections are limited, and each host has a share of them.
        self.gateway.nodes.verify(uid)
        if uid in self._by_uid:
            # The same node on a new connection: it has rebooted or changed networks.
            self.gateway.reset(uid)
        connection.uid = uid
        self._by_uid[uid] = connection

    def _stop_naming(self, connection: NodeConnection) -> None:
        if connection.naming is not None:
            connection.naming.cancel()
            connection.naming = None

    # -- readings ----------------------------------------------------------------------------------

    def _update(self, connection: NodeConnection, values: dict[str, object]) -> None:
        uid = connection.uid
        assert uid is not None  # noqa: S101 - it has a uid by now
        if self._by_uid.get(uid) is not connection:
            raise Refused("the node may not be connected any more")
        gateway = self.gateway
        if len(values) == 1:
            ((resource, value),) = values.items()
            now, ts = self._loop.time(), gateway.unix_time()
            try:
                events = gateway.nodes.unsolicited_reading(uid, resource, value, now=now, ts=ts)
                gateway.report_readings(events, [(uid, resource, value)])
            except Refused as error:
                self._report(connection, error)
            return
        try:
            gateway.take_turn(uid, readings=max(1, len(values)))
        except Refused as error:
            self._report(connection, error)
            return
        for resource, value in values.items():
            try:
                gateway.reading(uid, resource, value)
            except Refused as error:
                self._report(connection, error)

    def _report(self, connection: NodeConnection, problem: Refused) -> None:
        self.refuse(connection.uid, problem)
        socket = connection.socket
        if not connection.knows_errors:
            return
        if not connection.problems.take(self._loop.time()) and socket.buffered() <= BUFFER_MAX:
            socket.write(text_frame(encode(NodeProblem(str(problem)))))

    # -- commands ----------------------------------------------------------------------------------

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        del deadline  # the caller cancels this coroutine then
        connection = self._by_uid.get(uid)
        if connection is None:
            return Outcome("unreachable", "the node is not connected")
        if connection.socket.buffered() > BUFFER_MAX:
            return Outcome("unreachable", "the node does not read its messages")
        async with connection.turn:
            # Behind other bytes in the buffer, it could be sent after its deadline.
            await wait_until_flushed(connection.socket.buffered)
            if self._by_uid.get(uid) is not connection:
                return Outcome("unreachable", "the node has disconnected")
            connection.socket.write(text_frame(encode(Write(resource, payload))))
            try:
                await wait_until_flushed(connection.socket.buffered)
            except asyncio.CancelledError:
                # At the deadline: the rest must not be sent later, and half a frame is useless.
                log.info("%s did not read a command before its deadline; disconnected", uid)
                connection.socket.abort()
                raise
        return Outcome("sent")
