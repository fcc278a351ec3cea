# SPDX-License-Identifier: BSD-3-Clause
"""One connection of a client to the broker. It does not reconnect; its owner does."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Protocol, TypeAlias

import aiohttp

from pyaiot.client.address import BrokerAddress, BrokerAddresses
from pyaiot.client.errors import NoBroker
from pyaiot.client.session import login_needed, no_broker, reason_of_failure
from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.messages import FRAME_SIZE_MAX, SUBPROTOCOL, FromClient, ToClient, decode_to_client
from pyaiot.messages import encode as encode_message

CONNECT_LIMIT_S: Final = 5.0
"""Time for the handshake. Then the attempt fails."""
SEND_LIMIT_S: Final = 30.0
"""Time for the broker to accept a message. Then the connection is lost."""
HEARTBEAT_S: Final = 10.0
"""Seconds between pings. The connection is lost if a ping is not answered within half of this."""
FAILOVER_CONNECT_LIMIT_S: Final = 2.0
"""The same as `CONNECT_LIMIT_S` for one of several brokers. Then the next one is tried."""
FAILOVER_HEARTBEAT_S: Final = 2.0
"""The same as `HEARTBEAT_S` for one of several brokers."""
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403


class MessageRefused(LinkLost):
    """The broker closed the connection because of a message of this client. Its text is the reason
    of the broker."""


class ClientConnection(Protocol):
    """A connection, as the client uses it."""

    async def send(self, message: FromClient) -> None:
        """Raises `LinkLost`."""
        ...

    async def receive(self) -> Sequence[ToClient]:
        """The next messages. Raises `LinkLost`; `MessageRefused` for a message that was sent."""
        ...


OpenConnection: TypeAlias = Callable[[], AbstractAsyncContextManager[ClientConnection]]
"""Opens a connection. Raises `LinkLost` if a later attempt may succeed, else `OperatorError`."""


class WebSocketConnection:
    """Messages in `pyaiot.v2` over an open WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: FromClient) -> None:
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._socket.send_str(encode_message(message).decode())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LinkLost(str(error) or "it accepts no data") from error

    async def receive(self) -> Sequence[ToClient]:
        frame = await self._socket.receive()
        if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            error = self._socket.exception()
            if self._socket.close_code == aiohttp.WSCloseCode.UNSUPPORTED_DATA:
                raise MessageRefused(str(frame.extra or "no reason"))
            raise LinkLost(str(error) if error else f"closed with code {self._socket.close_code}")
        try:
            return decode_to_client(frame.data)
        except ProtocolError as error:
            raise LinkLost(f"invalid message: {error}") from error


@asynccontextmanager
async def connect(
    session: aiohttp.ClientSession,
    address: BrokerAddress,
    *,
    connect_limit_s: float = CONNECT_LIMIT_S,
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncIterator[WebSocketConnection]:
    """A connection to a broker for the duration of the block. See `OpenConnection`."""
    try:
        async with asyncio.timeout(connect_limit_s):
            socket = await session.ws_connect(
                address.ws_url,
                protocols=(SUBPROTOCOL,),
                max_msg_size=2 * FRAME_SIZE_MAX,
                heartbeat=heartbeat_s,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == UNAUTHORIZED:
            raise login_needed() from error
        if error.status == FORBIDDEN:
            raise OperatorError(
                f"The broker at {address} does not accept this host name. Use another name, or add"
                " this one to broker.allowed_hosts."
            ) from error
        raise LinkLost(f"it answers {error.status}") from error
    except TimeoutError as error:
        raise LinkLost(f"no answer in {connect_limit_s:.0f} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, ssl.CertificateError):
            raise no_broker(address, error) from error
        raise LinkLost(reason_of_failure(error)) from error
    try:
        if socket.protocol != SUBPROTOCOL:
            raise NoBroker(f"The server at {address} is not a broker of Pyaiot.")
        yield WebSocketConnection(socket)
    finally:
        await socket.close()


@asynccontextmanager
async def connect_to_one(
    session: aiohttp.ClientSession, addresses: BrokerAddresses
) -> AsyncIterator[WebSocketConnection]:
    """A connection to the first broker that answers. The next one is used when it is lost."""
    if len(addresses) == 1:
        async with connect(session, addresses.current) as only:
            yield only
        return
    async with AsyncExitStack() as stack:
        for number in range(1, len(addresses) + 1):
            address = addresses.current
            opening = connect(
                session,
                address,
                connect_limit_s=FAILOVER_CONNECT_LIMIT_S,
                heartbeat_s=FAILOVER_HEARTBEAT_S,
            )
            try:
                connection = await stack.enter_async_context(opening)
                break
            except LinkLost:
                addresses.failed(address)
                if number == len(addresses):
                    raise
        try:
            yield connection
        except LinkLost:
            addresses.failed(address)
            raise
