# SPDX-License-Identifier: BSD-3-Clause
"""A link carries messages between two services: in memory, or over a WebSocket.

A lost link is not restored: `run` raises `LinkLost`, and the caller opens another.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeAlias, TypeVar

import aiohttp

from pyaiot import legacy
from pyaiot.backlog import Backlog, BacklogFull
from pyaiot.errors import LinkLost, ProtocolError
from pyaiot.messages import (
    FromGateway,
    Message,
    ToGateway,
    decode_from_gateway,
    decode_to_gateway,
    encode_frames,
)

if TYPE_CHECKING:
    # Programs that are only clients need no server; its import takes 40 ms.
    from aiohttp import web

PLAIN_MAX: Final = 20_000
"""Messages that wait on a link unconflated. Beyond that, readings are conflated to the latest."""
COST_MAX: Final = 64 * 1024 * 1024
"""Bytes that wait on a link. Beyond that, readings are conflated; if the latest ones are still
more, the link is closed, and all nodes are announced again."""
SEND_LIMIT_S: Final = 30.0
"""A peer that reads nothing for this long loses the link."""
LINK_CLOSE_LIMIT_S: Final = 1.0
"""How long a link waits for the peer's answer to its close. Then the connection is dropped."""
HEARTBEAT_S: Final = 30.0
"""Interval of pings on a WebSocket. One that is not answered within half of it loses the link."""
GATHER_S: Final = 0.002
"""Pause between two frames on a busy WebSocket: messages sent meanwhile share a frame. After a
pause of this length or more, a message is sent at once."""
KEEP_ALIVE_S: Final = 30.0
"""Interval of keep-alives from a gateway to a legacy broker (legacy protocol, section 2)."""
CONFIRM_AFTER_S: Final = 1.0
"""Time after which a reading that was sent to a legacy broker counts as received."""
GATEWAY_FRAME_SIZE_MAX: Final = 2 * 1024 * 1024
"""Bytes of one WebSocket message between a gateway and its broker. A larger message closes the link
with 1009. A value in it that is too large is refused, and the link stays."""
_FRAME_MESSAGES_MAX: Final = 1000

TakeFrames: TypeAlias = Callable[[Sequence[bytes]], int]
"""Takes the payloads of frames. Returns how many of them it has taken, from the first on."""

In_co = TypeVar("In_co", bound=Message, covariant=True)
Out_contra = TypeVar("Out_contra", bound=Message, contravariant=True)
B = TypeVar("B", bound=Message)
C = TypeVar("C", bound=Message)


class Link(Protocol[In_co, Out_contra]):
    """The interface of links. `In_co` comes from the peer, `Out_contra` goes to it."""

    def send(self, message: Out_contra) -> None:
        """Queue a message, in order. Never waits. A lost link drops the message."""
        ...

    def send_all(self, messages: Sequence[Out_contra], costs: Sequence[int]) -> None:
        """`send` each of them, in order. `costs`: what `backlog.cost` returns for each."""
        ...

    def close(self, reason: str) -> None:
        """End the link: `run` raises `LinkLost` on both sides."""
        ...

    @property
    def queue(self) -> tuple[int, int]:
        """Messages that wait for the peer, and readings that were conflated since the start."""
        ...

    async def run(self, received: Callable[[Sequence[In_co]], None]) -> None:
        """Carry messages until the link is lost, then raise `LinkLost`."""
        ...


class MemoryLink(Generic[B, C]):
    """One end of a link inside a process."""

    def __init__(self) -> None:
        self._peer: MemoryLink[C, B] | None = None
        self._inbox: Backlog[B] = Backlog(cost_max=COST_MAX, plain_max=PLAIN_MAX)
        self._lost: str | None = None
        self._received: Callable[[Sequence[B]], None] | None = None
        """Set while `run` waits."""
        self._ended: asyncio.Future[None] | None = None
        """What `run` waits for."""
        self._is_due = False
        """Whether `_deliver` will be called."""

    @staticmethod
    def pair() -> "tuple[MemoryLink[ToGateway, FromGateway], MemoryLink[FromGateway, ToGateway]]":
        """The gateway's end and the broker's end."""
        gateway_end: MemoryLink[ToGateway, FromGateway] = MemoryLink()
        broker_end: MemoryLink[FromGateway, ToGateway] = MemoryLink()
        gateway_end._peer = broker_end
        broker_end._peer = gateway_end
        return gateway_end, broker_end

    def send(self, message: C) -> None:
        if self._peer is None or self._lost is not None:
            return
        try:
            self._peer._inbox.add(message)
        except BacklogFull as error:
            self.close(str(error))
        self._peer._deliver_soon()

    def send_all(self, messages: Sequence[C], costs: Sequence[int]) -> None:
        if self._peer is None or self._lost is not None:
            return
        try:
            self._peer._inbox.add_all(messages, costs)
        except BacklogFull as error:
            self.close(str(error))
        self._peer._deliver_soon()

    def close(self, reason: str) -> None:
        for end in (self, self._peer):
            if end is not None and end._lost is None:
                end._lost = reason
                end._deliver_soon()

    @property
    def queue(self) -> tuple[int, int]:
        inbox = self._peer._inbox if self._peer else self._inbox
        return len(inbox), inbox.conflated

    async def run(self, received: Callable[[Sequence[B]], None]) -> None:
        # Messages are delivered by a callback: to wake a task for each of them takes longer.
        try:
            if self._lost is None:
                self._ended = asyncio.get_running_loop().create_future()
                self._received = received
                self._deliver_soon()
                await self._ended
            raise LinkLost(self._lost or "")
        finally:
            self._received = None
            self.close("the other end was closed")

    def _deliver_soon(self) -> None:
        if self._received is not None and self._ended is not None and not self._is_due:
            self._is_due = True
            self._ended.get_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        """Deliver what waits, in order. Others get a turn after `_FRAME_MESSAGES_MAX`."""
        self._is_due = False
        if self._received is None or self._ended is None or self._ended.done():
            return
        try:
            if messages := self._inbox.take(_FRAME_MESSAGES_MAX):
                self._received(messages)
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._ended.set_exception(error)
            return
        if len(self._inbox):
            self._deliver_soon()
        elif self._lost is not None:
            self._ended.set_result(None)


class Codec(Protocol[In_co, Out_contra]):
    """The wire form of a WebSocket link."""

    def decode(self, frame: str | bytes) -> Sequence[In_co]: ...

    def encode(self, messages: Sequence[Out_contra]) -> Sequence[bytes]:
        """The frames that carry messages in order, as UTF-8."""
        ...

    def replies(self) -> Sequence[bytes]:
        """Frames that answer what was decoded, for this peer only."""
        ...


class WebSocketLink(Generic[B, C]):
    """A link over an open WebSocket, on either side."""

    def __init__(
        self,
        socket: "web.WebSocketResponse | aiohttp.ClientWebSocketResponse",
        codec: Codec[B, C],
        *,
        take_simple: Callable[[TakeFrames], None] | None = None,
    ) -> None:
        """`take_simple` of a server's socket: frames are decoded as they arrive, without waking
        `run` for each."""
        self._socket = socket
        self._codec = codec
        self._take_simple = take_simple
        self._outbox: Backlog[C] = Backlog(cost_max=COST_MAX, plain_max=PLAIN_MAX)
        self._replies: list[bytes] = []
        self._wake = asyncio.Event()
        self._closing: str | None = None

    def send(self, message: C) -> None:
        if self._closing is not None:
            return
        try:
            self._outbox.add(message)
        except BacklogFull as error:
            self.close(str(error))
        self._wake.set()

    def send_all(self, messages: Sequence[C], costs: Sequence[int]) -> None:
        if self._closing is not None:
            return
        try:
            self._outbox.add_all(messages, costs)
        except BacklogFull as error:
            self.close(str(error))
        self._wake.set()

    def close(self, reason: str) -> None:
        if self._closing is None:
            self._closing = reason
            self._wake.set()

    @property
    def queue(self) -> tuple[int, int]:
        return len(self._outbox), self._outbox.conflated

    async def run(self, received: Callable[[Sequence[B]], None]) -> None:
        def take(frames: Sequence[bytes]) -> int:
            messages: list[B] = []
            for frame in frames:
                messages += self._codec.decode(frame)
            if messages:
                received(messages)
            self._reply()
            return len(frames)

        sender = asyncio.create_task(self._send_all(), name="link sender")
        if self._take_simple is not None:
            self._take_simple(take)
        try:
            async for frame in self._socket:
                if frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    messages = self._codec.decode(frame.data)
                    if messages:
                        received(messages)
                    self._reply()
            raise LinkLost(self._closing or _close_reason(self._socket))
        finally:
            sender.cancel()
            # Not `await sender` with CancelledError suppressed: it would hide our own cancellation.
            await asyncio.wait({sender})
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LINK_CLOSE_LIMIT_S):
                    await self._socket.close()

    def _reply(self) -> None:
        """Queue the answers of the codec, behind what waits and behind earlier answers."""
        if not self._replies:
            self._replies += self._codec.replies()
            if self._replies:
                self._wake.set()

    async def _send_all(self) -> None:
        try:
            await self._send_queued()
        except (OSError, TimeoutError):
            self._closing = f"the peer read nothing for {SEND_LIMIT_S:.0f} s"
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LINK_CLOSE_LIMIT_S):
                    await self._socket.close()

    async def _send_queued(self) -> None:
        loop = asyncio.get_running_loop()
        sent_at = -GATHER_S
        while True:
            await self._wake.wait()
            if (early_s := sent_at + GATHER_S - loop.time()) > 0 and self._closing is None:
                await asyncio.sleep(early_s)
            self._wake.clear()
            sent_at = loop.time()
            while messages := self._outbox.take(_FRAME_MESSAGES_MAX):
                for frame in self._codec.encode(messages):
                    # aiohttp waits here while the peer reads nothing.
                    async with asyncio.timeout(SEND_LIMIT_S):
                        await self._socket.send_frame(frame, aiohttp.WSMsgType.TEXT)
            for frame in self._replies:
                async with asyncio.timeout(SEND_LIMIT_S):
                    await self._socket.send_frame(frame, aiohttp.WSMsgType.TEXT)
            self._replies.clear()
            self._reply()
            if self._closing is not None:
                # RFC 6455 section 5.5: a close reason has at most 123 bytes.
                reason = self._closing.encode()[:123].decode(errors="ignore").encode()
                await self._socket.close(code=aiohttp.WSCloseCode.GOING_AWAY, message=reason)
                return


def _close_reason(socket: "web.WebSocketResponse | aiohttp.ClientWebSocketResponse") -> str:
    error = socket.exception()
    return str(error) if error else f"closed with code {socket.close_code}"


class GatewayCodec:
    """`pyaiot.v2` on the side of a gateway. `decode` raises `LinkLost` for an invalid frame."""

    def decode(self, frame: str | bytes) -> Sequence[ToGateway]:
        try:
            return decode_to_gateway(frame)
        except ProtocolError as error:
            raise LinkLost(f"the broker sent an invalid message: {error}") from error

    def encode(self, messages: Sequence[FromGateway]) -> Sequence[bytes]:
        return list(encode_frames(messages))

    def replies(self) -> Sequence[bytes]:
        return ()


class BrokerCodec:
    """`pyaiot.v2` on the side of the broker. Invalid messages are refused one by one."""

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse

    def decode(self, frame: str | bytes) -> Sequence[FromGateway]:
        try:
            messages, problems = decode_from_gateway(frame)
        except ProtocolError as error:
            messages, problems = [], [str(error)]
        for problem in problems:
            self._refuse(problem)
        return messages

    def encode(self, messages: Sequence[ToGateway]) -> Sequence[bytes]:
        return list(encode_frames(messages))

    def replies(self) -> Sequence[bytes]:
        return ()


class LegacyBrokerCodec:
    """The legacy form on the side of the broker (legacy protocol, section 2)."""

    def __init__(self, refuse: Callable[[str], None], unix_time: Callable[[], float]) -> None:
        self._refuse = refuse
        self._unix_time = unix_time

    def decode(self, frame: str | bytes) -> Sequence[FromGateway]:
        try:
            message = legacy.decode_from_gateway(frame, self._unix_time())
        except ProtocolError as error:
            self._refuse(str(error))
            return ()
        return () if message is None else (message,)

    def encode(self, messages: Sequence[ToGateway]) -> Sequence[bytes]:
        frames = map(legacy.encode_to_gateway, messages)
        return [frame for frame in frames if frame is not None]

    def replies(self) -> Sequence[bytes]:
        return ()


class LegacyGatewayLink(WebSocketLink[ToGateway, FromGateway]):
    """A gateway's link to a legacy broker."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._legacy_codec = legacy.StateKeepingCodec()
        super().__init__(socket, self._legacy_codec)

    async def run(self, received: Callable[[Sequence[ToGateway]], None]) -> None:
        tasks = {
            asyncio.create_task(self._keep_alive(), name="link keep-alive"),
            asyncio.create_task(self._confirm(received), name="link confirmations"),
        }
        try:
            await super().run(received)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            self._replies.append(legacy.KEEP_ALIVE)
            self._wake.set()

    async def _confirm(self, received: Callable[[Sequence[ToGateway]], None]) -> None:
        """Confirm what was sent, after `CONFIRM_AFTER_S`: a legacy broker confirms nothing."""
        while True:
            sent, self._legacy_codec.confirmed = self._legacy_codec.confirmed[-1:], []
            await asyncio.sleep(CONFIRM_AFTER_S)
            if sent:
                received(sent)
