# SPDX-License-Identifier: BSD-3-Clause
"""How a gateway connects to its broker over a WebSocket."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp
from aiohttp import hdrs

from pyaiot.errors import LinkLost
from pyaiot.links import (
    GATEWAY_FRAME_SIZE_MAX,
    HEARTBEAT_S,
    LINK_CLOSE_LIMIT_S,
    SEND_LIMIT_S,
    GatewayCodec,
    LegacyGatewayLink,
    WebSocketLink,
)
from pyaiot.messages import SUBPROTOCOL, FromGateway, ToGateway


async def connect_gateway_with_token(
    session: aiohttp.ClientSession, url: str, secret: str, *, heartbeat_s: float = HEARTBEAT_S
) -> WebSocketLink[ToGateway, FromGateway]:
    """A link to the broker at `url`, with the gateway's own token (RFC 6750 section 2.1).

    It is sent in no other form, and to no legacy broker. `heartbeat_s`: interval of pings. Raises
    `LinkLost`: wait and try again.
    """
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        socket = await _open_socket(session, url, (SUBPROTOCOL,), headers, heartbeat_s=heartbeat_s)
    except aiohttp.WSServerHandshakeError as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise LinkLost(
                "the broker refused the token (401): it is wrong, was removed or has expired"
            ) from error
        raise LinkLost(f"the broker answered {error.status}") from error
    if socket.protocol != SUBPROTOCOL:
        await socket.close()
        raise LinkLost("the broker is too old for tokens of gateways")
    return WebSocketLink(socket, GatewayCodec())


async def _open_socket(
    session: aiohttp.ClientSession,
    url: str,
    protocols: tuple[str, ...],
    headers: Mapping[str, str] | None = None,
    *,
    heartbeat_s: float,
) -> aiohttp.ClientWebSocketResponse:
    """Raises `LinkLost` if there is no answer, and `WSServerHandshakeError` for a refusal."""
    try:
        return await session.ws_connect(
            url,
            protocols=protocols,
            headers=headers,
            heartbeat=heartbeat_s,
            max_msg_size=GATEWAY_FRAME_SIZE_MAX,
            timeout=aiohttp.ClientWSTimeout(ws_close=LINK_CLOSE_LIMIT_S),
        )
    except aiohttp.WSServerHandshakeError:
        raise
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise LinkLost(str(error) or type(error).__name__) from error


async def connect_gateway(
    session: aiohttp.ClientSession, url: str, token: str, *, heartbeat_s: float = HEARTBEAT_S
) -> WebSocketLink[ToGateway, FromGateway]:
    """A gateway's link to the broker at `url` (`ws://host:port/gw`).

    If the broker does not know the first form of the handshake, the older forms follow: the token
    in a handshake of two words, then the token as the first frame. `heartbeat_s`: interval of
    pings. Raises `LinkLost`: wait, mint
    another token and try again.
    """
    offers: list[tuple[str, ...]] = [(SUBPROTOCOL, "token", token), ("token", token), ()]
    while offers:
        offer = offers.pop(0)
        try:
            socket = await _open_socket(session, url, offer, heartbeat_s=heartbeat_s)
        except aiohttp.WSServerHandshakeError as error:
            if offer and _is_from_legacy_broker(error):
                continue
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise LinkLost(_why_unauthorized(error)) from error
            raise LinkLost(f"the broker answered {error.status}") from error
        if socket.protocol == SUBPROTOCOL:
            return WebSocketLink(socket, GatewayCodec())
        if len(offer) == 2 or socket.protocol == "token":
            return LegacyGatewayLink(socket)
        if not offer:
            try:
                async with asyncio.timeout(SEND_LIMIT_S):
                    await socket.send_str(token)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise LinkLost("the broker did not accept the token") from error
            return LegacyGatewayLink(socket)
        # It accepted three words and selected none: it reads the token from the first frame only.
        await socket.close()
        offers = [()]
    raise AssertionError("unreachable")


def _is_from_legacy_broker(error: aiohttp.WSServerHandshakeError) -> bool:
    """Whether the form of the handshake may be the reason: brokers of Pyaiot name their reason."""
    refused = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED)
    return error.status in refused and not (
        error.headers and hdrs.WWW_AUTHENTICATE in error.headers
    )


def _why_unauthorized(error: aiohttp.WSServerHandshakeError) -> str:
    challenge = error.headers.get(hdrs.WWW_AUTHENTICATE, "") if error.headers else ""
    if 'error="clock"' in challenge:
        return (
            "the broker refused the token (401): the clocks of this machine and of the broker"
            " differ too much"
        )
    return "the broker refused the key (401)"
