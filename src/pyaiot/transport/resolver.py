# SPDX-License-Identifier: BSD-3-Clause
"""HTTP sessions that find `localhost` on every machine."""

import asyncio
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class Resolver(AbstractResolver):
    """Asks the system for every address of a name.

    The resolver of aiohttp sets AI_ADDRCONFIG, with which glibc does not count loopback addresses:
    it finds no `localhost` on a machine without a network, and no 127.0.0.1 on one with IPv6 only.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM
        )
        return [_result(host, *entry) for entry in found]

    async def close(self) -> None:
        """Nothing is held."""


def _result(
    host: str, family: int, _type: int, proto: int, _name: str, address: Any
) -> ResolveResult:
    place = str(address[0])
    if family == socket.AF_INET6 and address[3]:
        # A link-local address needs its interface.
        place, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return ResolveResult(
        hostname=host,
        host=place,
        port=address[1],
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def open_http_session(**options: Any) -> aiohttp.ClientSession:
    """A session with this resolver, and otherwise as `aiohttp.ClientSession` takes `options`.

    It makes as many connections at once as it is asked for.
    """
    connector = aiohttp.TCPConnector(resolver=Resolver(), limit=0)
    return aiohttp.ClientSession(connector=connector, **options)
