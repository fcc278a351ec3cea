# SPDX-License-Identifier: BSD-3-Clause
"""`/api/events`: server-sent events, and the replay for clients that reconnect."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from pyaiot.broker.broker import CLIENTS_MAX, Broker
from pyaiot.broker.encoders import EVENTS, HEARTBEAT_COMMENT, Position, encode_gap
from pyaiot.broker.subscriber import Subscriber
from pyaiot.errors import Refused
from pyaiot.history.reader import HistoryReader
from pyaiot.messages import Join, Subscription, ToClient
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.transport.websocket import CLOSE_LIMIT_S, END_LIMIT_S
from pyaiot.web.api.parameters import StreamQuery
from pyaiot.web.api.replay import CannotReplay, messages_since
from pyaiot.web.api.responses import HEADERS, is_disconnected
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

HEARTBEAT_INTERVAL_S: Final = 10.0
"""Interval between heartbeats to a client, after which a disconnected client is noticed."""
REPLAYS_MAX: Final = 4
"""Largest number of replays from the history at the same time. Other clients get a gap."""

CaughtUp = Callable[[int, float], Awaitable[bool]]
"""Waits until the history has recorded this many publications. Returns False if it takes too long,
or if the clock jumped after a Unix time, so that times of messages differ from those in the
history."""

MissedSince = Callable[[str, float], Awaitable[float | str]]
"""From the run and the Unix time of an event id: waits until the history is complete, and returns
the time from which to replay, or the reason why it cannot."""

log = logging.getLogger(__name__)


class EventSink:
    """Writes to the socket of one client, in HTTP chunks (RFC 9112 section 7.1)."""

    def __init__(self, transport: asyncio.Transport, *, chunked: bool) -> None:
        self._transport = transport
        self._chunked = chunked
        self.over = asyncio.Event()
        """Set when the stream must end, or when the client has disconnected."""
        self.buffered = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            self.over.set()
        elif self._chunked:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._transport.write(data)

    def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - HTTP cannot express them
        """End the stream. The client reconnects automatically and resumes."""
        self.over.set()
        asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self._transport.abort)

    def end(self, _reason: str) -> None:
        """End the stream because its access ended."""
        self.over.set()
        asyncio.get_running_loop().call_later(END_LIMIT_S, self._transport.abort)


class Streams:
    """The handler of `/api/events`, and the open streams."""

    def __init__(
        self,
        broker: Broker,
        history: HistoryReader | None,
        caught_up: CaughtUp | None,
    ) -> None:
        self._broker = broker
        self._history = history
        self._caught_up = caught_up
        self.missed_since: MissedSince | None = None
        """Set in a cluster whose brokers share the history."""
        self._open: set[EventSink] = set()
        self._replaying = 0
        self._failures = RateLimitedLog(log)

    async def stream(self, request: web.Request, query: StreamQuery) -> web.StreamResponse:
        scope = access_of(request).scope
        if len(self._broker.fanout.clients) >= CLIENTS_MAX:
            raise ProblemError(
                503, "busy", f"{CLIENTS_MAX} clients are connected already", retry_after_s=5
            )
        response = web.StreamResponse(
            headers={
                **HEADERS,
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",  # nginx would buffer it
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
        subscription = Subscription(
            uids=query.uid, resources=query.resource, tags=query.tag, gateways=query.gateway
        )
        try:
            client = self._broker.reader_connected(sink, EVENTS, subscription, scope)
        except Refused as error:
            sink.write(encode_gap(str(error)))
            return response
        closed = access_of(request).opened(sink.end)
        self._open.add(sink)
        try:
            await self._begin(client, request.headers.get("Last-Event-ID"), query)
            while not sink.over.is_set() and not is_disconnected(request):
                try:
                    async with asyncio.timeout(HEARTBEAT_INTERVAL_S):
                        await sink.over.wait()
                except TimeoutError:
                    if not client.waiting:
                        sink.write(HEARTBEAT_COMMENT)
        finally:
            closed()
            self._open.discard(sink)
            self._broker.client_left(client)
        return response

    def close_all(self) -> None:
        """End all streams, when the broker stops."""
        for sink in self._open:
            sink.over.set()

    async def _begin(self, client: Subscriber, last_id: str | None, query: StreamQuery) -> None:
        if not last_id:
            self._join(client)
            return
        try:
            if client.view is not None and not client.view.scope.has_all_nodes:
                # It is not recorded which nodes entered or left the scope in the meantime.
                raise CannotReplay("this client sees some nodes only")
            client.resume_with(await self._missed(client, last_id, query))
        except CannotReplay as error:
            client.send_gap(str(error))
            self._join(client)
        else:
            self._broker.fanout.send_waiting(client)

    def _join(self, client: Subscriber) -> None:
        self._broker.from_client(client, Join(data="client"))

    async def _missed(self, client: Subscriber, last_id: str, query: StreamQuery) -> list[ToClient]:
        """The messages after the position of an id. Raises `CannotReplay`."""
        position = Position.from_id(last_id)
        fanout = self._broker.fanout
        is_own = position is not None and position.run == self._broker.run
        if position is None or not (is_own or self.missed_since):
            raise CannotReplay("the id is not from this run of the broker")
        if is_own and position.number > fanout.messages:
            raise CannotReplay("the id was never sent")
        recent = fanout.hold_recent()
        held = recent.since(position.number) if is_own else None
        if held is not None and position.ts >= fanout.complete_since:
            return [delivery.message for delivery in held]
        delay_s = recent.delay_since(position.ts)
        if (
            self._history is None
            or self._caught_up is None
            or (delay_s is None and self.missed_since is None)
        ):
            raise CannotReplay("the id is too old, and there is no history")
        if self._replaying >= REPLAYS_MAX:
            raise CannotReplay(f"{REPLAYS_MAX} replays are running already")
        self._replaying += 1
        client.hold()
        try:
            if self.missed_since is not None:
                start = await self.missed_since(position.run, position.ts)
                if isinstance(start, str):
                    raise CannotReplay(start)
                return await messages_since(self._history, start, 0.0, query)
            if not await self._caught_up(fanout.messages, position.ts):
                raise CannotReplay("the history is behind, or the clock jumped")
            assert delay_s is not None  # noqa: S101 - checked above
            return await messages_since(self._history, position.ts, delay_s, query)
        finally:
            self._replaying -= 1
