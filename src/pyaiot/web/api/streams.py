# SPDX-License-Identifier: BSD-3-Clause
"""`/api/events`: server-sent events, and how a client that was away gets what it missed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from pyaiot.broker.broker import CLIENTS_MAX, Broker
from pyaiot.broker.encoders import EVENTS, HEARTBEAT_COMMENT, Position
from pyaiot.broker.subscriber import Subscriber
from pyaiot.history.store import History
from pyaiot.messages import Join, Subscribe, ToClient
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.transport.websocket import CLOSE_LIMIT_S
from pyaiot.web.api.parameters import StreamQuery
from pyaiot.web.api.replay import NotKnown, missed_since
from pyaiot.web.api.responses import HEADERS, has_left
from pyaiot.web.problems import ProblemError

BEAT_INTERVAL_S: Final = 10.0
"""Between two signs of life towards a client. By then it is noticed that one has left."""
RESUMES_MAX: Final = 4
"""Clients that are told from history what they missed, at the same time. Others: of a gap."""

CaughtUp = Callable[[int, float], Awaitable[bool]]
"""Waits until the history has so many messages to everybody; False if it has not in time, or if
the clock jumped since a Unix time, so that times of messages are not those of the history."""

log = logging.getLogger(__name__)


class EventSink:
    """The socket of one client, in chunks of HTTP (RFC 9112 section 7.1)."""

    def __init__(self, transport: asyncio.Transport, *, chunked: bool) -> None:
        self._transport = transport
        self._chunked = chunked
        self.over = asyncio.Event()
        """The client is to be let go, or has left."""
        self.buffered = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            self.over.set()
        elif self._chunked:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._transport.write(data)

    def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - HTTP has no words for it
        """Its client comes back by itself, and asks for what it missed."""
        self.over.set()
        asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self._transport.abort)


class Streams:
    """The handler, and the streams that are open."""

    def __init__(
        self,
        broker: Broker,
        history: History | None,
        caught_up: CaughtUp | None,
    ) -> None:
        self._broker = broker
        self._history = history
        self._caught_up = caught_up
        self._open: set[EventSink] = set()
        self._resuming = 0
        self._failures = RateLimitedLog(log)

    async def stream(self, request: web.Request, query: StreamQuery) -> web.StreamResponse:
        if len(self._broker.fanout.clients) >= CLIENTS_MAX:
            raise ProblemError(
                503, "busy", f"{CLIENTS_MAX} clients are connected already", retry_after_s=5
            )
        response = web.StreamResponse(
            headers={
                **HEADERS,
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",  # nginx would gather it
            }
        )
        response.force_close()
        chunked = request.version >= HttpVersion11
        if chunked:
            response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        if request.method == hdrs.METH_HEAD or transport is None or transport.is_closing():
            return response
        sink = EventSink(transport, chunked=chunked)
        wish = Subscribe(uids=query.uid, resources=query.resource)
        client = self._broker.reader_connected(sink, EVENTS, wish)
        self._open.add(sink)
        try:
            await self._begin(client, request.headers.get("Last-Event-ID"), query)
            while not sink.over.is_set() and not has_left(request):
                try:
                    async with asyncio.timeout(BEAT_INTERVAL_S):
                        await sink.over.wait()
                except TimeoutError:
                    if not client.waiting:
                        sink.write(HEARTBEAT_COMMENT)
        finally:
            self._open.discard(sink)
            self._broker.client_left(client)
        return response

    def close_all(self) -> None:
        """The broker goes away: every stream ends."""
        for sink in self._open:
            sink.over.set()

    async def _begin(self, client: Subscriber, last_id: str | None, query: StreamQuery) -> None:
        if not last_id:
            self._join(client)
            return
        try:
            client.told_before(await self._missed(client, last_id, query))
        except NotKnown as error:
            client.tell_gap(str(error))
            self._join(client)
        else:
            self._broker.fanout.drain(client)

    def _join(self, client: Subscriber) -> None:
        self._broker.from_client(client, Join(data="client"))

    async def _missed(self, client: Subscriber, last_id: str, query: StreamQuery) -> list[ToClient]:
        """What came after the position of an id. Raises `NotKnown`."""
        position = Position.from_id(last_id)
        if position is None or position.run != self._broker.run:
            raise NotKnown("that id is of no stream since this broker started")
        if position.number > self._broker.fanout.messages:
            raise NotKnown("that id was never given")
        recent = self._broker.fanout.hold_recent()
        held = recent.since(position.number)
        if held is not None:
            return [delivery.message for delivery in held]
        delay_s = recent.delay_since(position.ts)
        if self._history is None or self._caught_up is None or delay_s is None:
            raise NotKnown("it was too long ago, and no history is kept")
        if self._resuming >= RESUMES_MAX:
            raise NotKnown(f"{RESUMES_MAX} clients are being told what they missed")
        self._resuming += 1
        client.hold()
        try:
            if not await self._caught_up(self._broker.fanout.messages, position.ts):
                raise NotKnown("the history is behind, or the clock jumped")
            return await missed_since(self._history, position.ts, delay_s, query)
        finally:
            self._resuming -= 1
