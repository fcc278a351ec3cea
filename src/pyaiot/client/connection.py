# SPDX-License-Identifier: BSD-3-Clause
"""One connection of a client to the broker. When it is lost, whoever made it makes another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, TypeAlias

import aiohttp

from pyaiot.client.address import BrokerAddress
from pyaiot.client.errors import NoBroker
from pyaiot.client.session import login_needed, why_not
from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.messages import FRAME_SIZE_MAX, SUBPROTOCOL, FromClient, ToClient, decode_to_client
from pyaiot.messages import encode as encode_message

CONNECT_LIMIT_S: Final = 5.0
"""A broker that does not shake hands within this is tried again."""
SEND_LIMIT_S: Final = 30.0
"""A broker that takes nothing for so long has lost the connection."""
HEARTBEAT_S: Final = 10.0
"""A broker that does not answer a ping within half of this is connected to anew."""
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403


class Connection(Protocol):
    """What a client needs of a connection."""

    async def send(self, message: FromClient) -> None:
        """Raises `LinkLost`."""
        ...

    async def receive(self) -> Sequence[ToClient]:
        """What the broker says next. Raises `LinkLost`."""
        ...


Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
"""Raises `LinkLost`: try again later. Raises `OperatorError`: trying again is no use."""


class WebSocketConnection:
    """`pyaiot.v2` over an open WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: FromClient) -> None:
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._socket.send_str(encode_message(message).decode())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LinkLost(str(error) or "it takes nothing") from error

    async def receive(self) -> Sequence[ToClient]:
        frame = await self._socket.receive()
        if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            error = self._socket.exception()
            raise LinkLost(str(error) if error else f"it closed with {self._socket.close_code}")
        try:
            return decode_to_client(frame.data)
        except ProtocolError as error:
            raise LinkLost(f"it says what cannot be read: {error}") from error


@asynccontextmanager
async def connect(
    session: aiohttp.ClientSession, place: BrokerAddress
) -> AsyncIterator[WebSocketConnection]:
    """A connection to the broker at `place`, which closes with the block. See `Connect`."""
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            socket = await session.ws_connect(
                place.ws_url,
                protocols=(SUBPROTOCOL,),
                max_msg_size=2 * FRAME_SIZE_MAX,
                heartbeat=HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == UNAUTHORIZED:
            raise login_needed() from error
        if error.status == FORBIDDEN:
            raise OperatorError(
                f"The broker at {place} does not go by that name: use another of its names, or add"
                " this one to its broker.allowed_hosts."
            ) from error
        raise LinkLost(f"it answers {error.status}") from error
    except TimeoutError as error:
        raise LinkLost(f"no answer in {CONNECT_LIMIT_S:.0f} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise LinkLost(why_not(error)) from error
    try:
        if socket.protocol != SUBPROTOCOL:
            raise NoBroker(f"What answers at {place} is no broker of Pyaiot.")
        yield WebSocketConnection(socket)
    finally:
        await socket.close()
