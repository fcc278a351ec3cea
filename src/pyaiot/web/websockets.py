# SPDX-License-Identifier: BSD-3-Clause
"""The WebSocket endpoints of the broker: `/ws` for clients, `/gw` for gateways.

Legacy protocol, sections 1 and 2.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import aiohttp
from aiohttp import hdrs, web

from pyaiot import legacy, messages
from pyaiot.accounts.roles import Role
from pyaiot.accounts.tokens import bearer_secret
from pyaiot.audit.entry import ANONYMOUS, Principal
from pyaiot.broker.broker import CLIENTS_MAX, Broker
from pyaiot.broker.command_audit import AuditSink
from pyaiot.broker.encoders import ARRAYS
from pyaiot.broker.encoders import LEGACY as LEGACY_FORM
from pyaiot.broker.identity import LEGACY, GatewayIdentity
from pyaiot.broker.keys import TokenCheck, TokenRefusal
from pyaiot.broker.subscriber import Subscriber
from pyaiot.errors import OperatorError, ProtocolError, Refused
from pyaiot.links import (
    GATEWAY_FRAME_SIZE_MAX,
    HEARTBEAT_S,
    BrokerCodec,
    LegacyBrokerCodec,
    WebSocketLink,
)
from pyaiot.messages import FRAME_SIZE_MAX, SUBPROTOCOL, Command, FromClient, Problem
from pyaiot.transport.connection_table import principal_of as network_of
from pyaiot.transport.frame_check import TURN_FRAMES_MAX
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.transport.websocket import (
    NonBlockingWebSocket,
    TransportSink,
    check_version,
    close_all,
    offered_protocols,
)
from pyaiot.web.access import MESSAGE_NEEDS, may_send, satisfies
from pyaiot.web.access_watch import AccessWatch, End
from pyaiot.web.auditing import principal_of
from pyaiot.web.client_access import access_of

_NO_TOKEN: Final = TokenRefusal("key", "it sent no token in its handshake or first frame")
_NO_GATEWAY: Final = TokenRefusal(
    "key", "its token is not that of a gateway here, was removed, or has expired"
)
_NO_KEY_FILE: Final = TokenRefusal("key", "this broker has no key file")

log = logging.getLogger(__name__)

FIRST_FRAME_LIMIT_S: Final = 2.0
"""Time for a gateway without a token in its handshake to send it as its first frame. After that it
is refused."""
UNAUTHENTICATED_MAX: Final = 64
"""Largest number of connections of gateways that have not authenticated yet. A further one is
answered 503."""
UNAUTHENTICATED_PER_ADDRESS_MAX: Final = 8
"""The same for one address."""


def _socket(
    *protocols: str, size_max: int = FRAME_SIZE_MAX, checks_text: bool = True
) -> NonBlockingWebSocket:
    return NonBlockingWebSocket(
        *protocols, heartbeat_s=HEARTBEAT_S, size_max=size_max, checks_text=checks_text
    )


def _without_end(_end: End) -> Callable[[], None]:
    """Registers nothing: for connections whose access does not end."""
    return lambda: None


class Sockets:
    """The handlers of `/ws` and `/gw`."""

    def __init__(
        self,
        broker: Broker,
        tokens: TokenCheck | None,
        unix_time: Callable[[], float] = time.time,
        audit: AuditSink | None = None,
        *,
        access: AccessWatch | None = None,
        key_file_identity: GatewayIdentity = LEGACY,
    ) -> None:
        """`tokens` None: gateways with the key file are refused. `access` None: gateways with their
        own tokens are refused, too. `audit` records links of gateways."""
        self._audit = audit
        self._broker = broker
        self._tokens = tokens
        self._access = access
        self._key_file_identity = key_file_identity
        self._unix_time = unix_time
        self._open: set[NonBlockingWebSocket] = set()
        self._refusals = RateLimitedLog(log)
        self._unauthenticated: Counter[str] = Counter()
        """Number of connections of gateways that have not authenticated yet, by address."""
        self.refused_clients = 0
        """Number of clients that were refused, or closed for an invalid message."""
        self.refused_gateways = 0
        """Number of gateways without a valid token, and of their invalid messages."""

    async def client(self, request: web.Request) -> web.StreamResponse:
        """`GET /ws`."""
        if len(self._broker.fanout.clients) >= CLIENTS_MAX:
            self.refused_clients += 1
            raise web.HTTPServiceUnavailable(text=f"{CLIENTS_MAX} clients are connected already\n")
        socket = _socket(SUBPROTOCOL)
        await socket.prepare(request)
        transport = request.transport
        if transport is None or transport.is_closing():
            return socket
        encoder = ARRAYS if socket.ws_protocol == SUBPROTOCOL else LEGACY_FORM
        sink = TransportSink(transport, asyncio.get_running_loop())
        access = access_of(request)
        try:
            client = self._broker.client_connected(
                sink,
                encoder,
                may_command=satisfies(access.role, MESSAGE_NEEDS[Command]),
                principal=principal_of(request),
                scope=access.scope,
            )
        except Refused as error:
            self._client_refused(error)
            await socket.close_with(aiohttp.WSCloseCode.TRY_AGAIN_LATER, str(error))
            return socket

        def end(reason: str) -> None:
            client.detach()
            socket.end(aiohttp.WSCloseCode.POLICY_VIOLATION, reason)

        closed = access.opened(end)
        self._open.add(socket)
        try:
            await self._serve_client(socket, client, access.role)
        finally:
            closed()
            self._open.discard(socket)
            self._broker.client_left(client)
        return socket

    async def _serve_client(
        self, socket: NonBlockingWebSocket, client: Subscriber, role: Role
    ) -> None:
        async for frame in socket:
            if isinstance(frame.data, aiohttp.WebSocketError):
                # aiohttp has closed the connection with the appropriate code.
                self._client_refused(frame.data)
                return
            if client.closed or frame.type not in (
                aiohttp.WSMsgType.TEXT,
                aiohttp.WSMsgType.BINARY,
            ):
                continue
            try:
                if client.encoder is not LEGACY_FORM:
                    for number, message in enumerate(messages.decode_from_client(frame.data), 1):
                        self._from_client(client, message, role)
                        if number % TURN_FRAMES_MAX == 0:
                            await asyncio.sleep(0)
                            if client.closed:
                                break
                else:
                    self._from_client(client, legacy.decode_from_client(frame.data), role)
            except ProtocolError as error:
                self._client_refused(error)
                client.detach()
                await socket.close_with(aiohttp.WSCloseCode.UNSUPPORTED_DATA, str(error))
                return

    def _from_client(self, client: Subscriber, message: FromClient, role: Role) -> None:
        # The broker answers forbidden commands with a receipt.
        if not may_send(role, type(message)) and not isinstance(message, Command):
            client.close(aiohttp.WSCloseCode.POLICY_VIOLATION, "this message is not allowed")
            return
        self._broker.from_client(client, message)

    def _client_refused(self, error: Exception) -> None:
        self.refused_clients += 1
        self._log("closed a client: %s", error)

    async def gateway(self, request: web.Request) -> web.StreamResponse:
        """`GET /gw`. Without a valid token: 401.

        A gateway that offers no subprotocol sends its token as its first frame (legacy protocol,
        section 8).
        """
        check_version(request)
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if authorization is not None:
            return await self._gateway_with_token(request, authorization)
        offered = offered_protocols(request)
        token = offered[offered.index("token") + 1 :][:1] if "token" in offered else []
        if not offered and self._tokens is not None:
            return await self._gateway_with_first_frame(request)
        refusal = self._token_refusal(token[0] if token else "")
        if refusal is not None:
            self._gateway_refused(request.remote, refusal)
            raise web.HTTPUnauthorized(
                text="A gateway needs a token from the key file of this broker.\n",
                headers={hdrs.WWW_AUTHENTICATE: f'Token realm="gateway", error="{refusal.error}"'},
            )
        # Legacy gateways offer `token` alone, and strict clients require that it is selected.
        # RFC 6455 section 8.1 requires that text that is not UTF-8 closes the connection. Only the
        # message is refused instead: one invalid value must not take all nodes offline.
        socket = _socket(SUBPROTOCOL, "token", size_max=GATEWAY_FRAME_SIZE_MAX, checks_text=False)
        await socket.prepare(request)
        await self._serve_gateway(
            request, socket, self._key_file_identity, extended=socket.ws_protocol == SUBPROTOCOL
        )
        return socket

    async def _gateway_with_token(
        self, request: web.Request, authorization: str
    ) -> web.StreamResponse:
        secret = bearer_secret(authorization)
        try:
            token = self._access.gateway_token(secret) if self._access and secret else None
        except OperatorError as error:
            self._log("the token of a gateway cannot be checked: %s", error)
            raise web.HTTPServiceUnavailable(text="Access cannot be checked now.\n") from error
        if token is None or self._access is None:
            self._gateway_refused(request.remote, _NO_GATEWAY)
            raise web.HTTPUnauthorized(
                text="The token is not valid: aiot gateway add makes one, and aiot gateway list"
                " shows when it expires.\n",
                headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="gateway", error="invalid_token"'},
            )
        socket = _socket(SUBPROTOCOL, size_max=GATEWAY_FRAME_SIZE_MAX, checks_text=False)
        await socket.prepare(request)
        identity = GatewayIdentity(token.gateway, has_token=True)
        await self._serve_gateway(
            request,
            socket,
            identity,
            extended=socket.ws_protocol == SUBPROTOCOL,
            opened=partial(self._access.opened, token.digest),
        )
        return socket

    async def _gateway_with_first_frame(self, request: web.Request) -> web.StreamResponse:
        address = request.remote or ""
        address = network_of(address) or address
        if (
            self._unauthenticated.total() >= UNAUTHENTICATED_MAX
            or self._unauthenticated[address] >= UNAUTHENTICATED_PER_ADDRESS_MAX
        ):
            self.refused_gateways += 1
            self._log("refused the gateway at %s: too many have sent no token", address)
            raise web.HTTPServiceUnavailable(text="Too many gateways have sent no token yet.\n")
        socket = _socket(size_max=GATEWAY_FRAME_SIZE_MAX, checks_text=False)
        self._unauthenticated[address] += 1
        try:
            await socket.prepare(request)
            refusal = await self._first_frame_refusal(socket)
        finally:
            self._unauthenticated[address] -= 1
            if not self._unauthenticated[address]:
                del self._unauthenticated[address]
        if refusal is None:
            await self._serve_gateway(request, socket, self._key_file_identity, extended=False)
        else:
            self._gateway_refused(address, refusal)
            await socket.close_with(aiohttp.WSCloseCode.POLICY_VIOLATION, "no valid token")
        return socket

    async def _first_frame_refusal(self, socket: NonBlockingWebSocket) -> TokenRefusal | None:
        try:
            async with asyncio.timeout(FIRST_FRAME_LIMIT_S):
                frame = await socket.receive()
        except TimeoutError:
            return _NO_TOKEN
        if frame.type is not aiohttp.WSMsgType.TEXT:
            return _NO_TOKEN
        data = frame.data if isinstance(frame.data, bytes) else str(frame.data).encode()
        return self._token_refusal(data.decode("utf-8", "replace").strip())

    async def _serve_gateway(
        self,
        request: web.Request,
        socket: NonBlockingWebSocket,
        identity: GatewayIdentity,
        *,
        extended: bool,
        opened: Callable[[End], Callable[[], None]] = _without_end,
    ) -> None:
        def refuse_message(problem: str) -> None:
            self.refused_gateways += 1
            self._log("refused a message of a gateway: %s", problem)
            link.send(Problem(detail=problem))

        codec: BrokerCodec | LegacyBrokerCodec
        if extended:
            codec = BrokerCodec(refuse_message)
        else:
            codec = LegacyBrokerCodec(refuse_message, self._unix_time)
        link = WebSocketLink(socket, codec, take_simple=socket.take_simple)

        def end(reason: str) -> None:
            self._broker.end_gateway(link)
            socket.end(aiohttp.WSCloseCode.POLICY_VIOLATION, reason)

        closed = opened(end)
        self._open.add(socket)
        principal = Principal(f"gateway:{identity.name}", request.remote or "")
        self._record(principal, "gateway-connect")
        try:
            await self._broker.serve_gateway(link, acknowledges=extended, identity=identity)
        finally:
            self._open.discard(socket)
            closed()
            self._record(principal, "gateway-disconnect")

    def _record(
        self, principal: Principal, action: str, result: str = "ok", detail: str = ""
    ) -> None:
        if self._audit is not None:
            self._audit.record(principal, action, result, detail=detail)

    def _token_refusal(self, token: str) -> TokenRefusal | None:
        return _NO_KEY_FILE if self._tokens is None else self._tokens.judge(token)

    def _gateway_refused(self, address: str | None, refusal: TokenRefusal) -> None:
        self.refused_gateways += 1
        principal = Principal(ANONYMOUS, address or "")
        self._record(principal, "gateway-connect", "refused", refusal.text)
        now = asyncio.get_running_loop().time()
        self._refusals.warning("refused the gateway at %s: %s", address, refusal.text, now=now)

    async def close_all(self) -> None:
        """Close all connections because the broker shuts down; see
        `transport.websocket.close_all`."""
        await close_all(list(self._open), "the broker is shutting down")

    def _log(self, text: str, detail: object) -> None:
        self._refusals.warning(text, detail, now=asyncio.get_running_loop().time())
