# SPDX-License-Identifier: BSD-3-Clause
"""HTTP client sessions that resolve `localhost` on every machine."""

import asyncio
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class Resolver(AbstractResolver):
    """Queries the system for every address of a name.

    aiohttp's own resolver sets AI_ADDRCONFIG, for which glibc ignores loopback addresses: it does
    not resolve `localhost` without a network, nor 127.0.0.1 where there is IPv6 only.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
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


def open_http_session(**options: Any) -> aiohttp.ClientSession:
    """A session with `Resolver` and without a limit of connections.

    `options` as of `aiohttp.ClientSession`.
    """
    connector = aiohttp.TCPConnector(resolver=Resolver(), limit=0)
    return aiohttp.ClientSession(connector=connector, **options)
