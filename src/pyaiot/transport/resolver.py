# SPDX-License-Identifier: BSD-3-Clause
"""HTTP client sessions that resolve `localhost` on every machine."""

import asyncio
import socket
import ssl
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import _SSL_CONTEXT_VERIFIED as _OF_IMPORT

from pyaiot.transport.addresses import name_lookup


class Resolver(AbstractResolver):
    """Queries the system for every address of a name.

    aiohttp's own resolver sets AI_ADDRCONFIG, for which glibc ignores loopback addresses: it does
    not resolve `localhost` without a network, nor 127.0.0.1 where there is IPv6 only.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        with name_lookup():
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, family=family, type=socket.SOCK_STREAM
            )
        return [_result(host, *entry) for entry in found]

    async def close(self) -> None:
        """Nothing to close."""


def _result(
    host: str, family: int, _type: int, proto: int, _name: str, address: Any
) -> ResolveResult:
    host_address = str(address[0])
    if family == socket.AF_INET6 and address[3]:
        # A link-local address needs its scope.
        host_address, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return ResolveResult(
        hostname=host,
        host=host_address,
        port=address[1],
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


class Connector(aiohttp.TCPConnector):
    """Resolves names with `Resolver`, and leaves no TLS connection behind when it closes.

    aiohttp lets WebSockets wait for the peer to end TLS, and a loop of uvloop that closes meanwhile
    raises.
    """

    def __init__(self, **options: Any) -> None:
        """`options` as of `aiohttp.TCPConnector`."""
        super().__init__(**{"resolver": Resolver(), "limit": 0, **options})
        self._secured: set[asyncio.Transport] = set()
        """Open TLS connections."""

    async def _wrap_create_connection(
        self, *arguments: Any, **options: Any
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        transport, protocol = await super()._wrap_create_connection(*arguments, **options)
        closed = protocol.closed
        if closed is not None and transport.get_extra_info("sslcontext") is not None:
            self._secured.add(transport)

            def forget(closed: asyncio.Future[None]) -> None:
                self._secured.discard(transport)
                if not closed.cancelled():
                    closed.exception()  # it was handled where the connection was used

            closed.add_done_callback(forget)
        return transport, protocol

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        context = super()._get_ssl_context(req)
        if context is not _OF_IMPORT:
            return context
        from pyaiot.transport.system_trust import system_trust  # noqa: PLC0415 - most need no TLS

        return system_trust()

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        for transport in list(self._secured):
            transport.abort()
        if self._secured:
            await asyncio.sleep(0)


_OTHER_NAME: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


def reason_of_tls_failure(error: BaseException | None) -> str:
    """Why TLS with a server failed and what to do, for people; empty: the error is another one."""
    error = getattr(error, "certificate_error", error)
    if isinstance(error, ssl.SSLCertVerificationError):
        match error.verify_code:
            case 10:  # X509_V_ERR_CERT_HAS_EXPIRED
                return "its certificate has expired: renew it there"
            case code if code in _OTHER_NAME:
                return "its certificate is for other names: use one that aiot tls fingerprint lists"
            case _:
                return (
                    "its certificate is not trusted: compare what aiot tls fingerprint prints with"
                    " its fingerprint there, and set --ca-file"
                )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        error = error.os_error
    if isinstance(error, ssl.SSLError):
        if error.reason in _NOT_TLS:
            return "its port does not use TLS"
        return f"TLS: {error.reason or error}".replace("_", " ").lower().replace("tls", "TLS", 1)
    return ""


def open_http_session(
    ca_file: str = "", *, trust: ssl.SSLContext | None = None, **options: Any
) -> aiohttp.ClientSession:
    """A session with `Resolver` and without a limit of connections.

    `ca_file`: see `client_context`; `trust` is such a context. `options` as of
    `aiohttp.ClientSession`. Raises `OperatorError`.
    """
    if trust is None and ca_file:
        # Without it, `system_trust` has a context that is made once.
        from pyaiot.transport.tls import client_context  # noqa: PLC0415

        trust = client_context(ca_file)
    connector = Connector() if trust is None else Connector(ssl=trust)
    return aiohttp.ClientSession(connector=connector, **options)
