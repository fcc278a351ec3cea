# SPDX-License-Identifier: BSD-3-Clause
"""Addresses and sockets of simulated nodes over UDP."""

import asyncio
import errno
import ipaddress
import socket
from typing import Any, NamedTuple

from pyaiot.errors import OperatorError


class SocketAddress(NamedTuple):
    """An address in the form that `socket` uses."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


async def resolve_addresses(
    gateway_host: str, gateway_port: int, host: str, port: int
) -> tuple[SocketAddress, SocketAddress]:
    """Resolve the address of the gateway and the local address.

    An empty `host` is loopback if the gateway is on loopback, else all addresses of this machine.
    Raises `OperatorError`.
    """
    if host:
        local = await resolve(host, port, socket.AF_UNSPEC)
        return await resolve(gateway_host, gateway_port, local.family), local
    gateway = await resolve(gateway_host, gateway_port, socket.AF_UNSPEC)
    loopback = ipaddress.ip_address(gateway.sockaddr[0].partition("%")[0]).is_loopback
    if gateway.family == socket.AF_INET:
        host = "127.0.0.1" if loopback else "0.0.0.0"  # noqa: S104 - the gateway is on another machine
    else:
        host = "::1" if loopback else "::"
    return gateway, SocketAddress(gateway.family, (host, port))


async def resolve(host: str, port: int, family: int) -> SocketAddress:
    """Resolve a host, preferring IPv4. Raises `OperatorError`."""
    try:
        try:
            # Literal addresses are resolved without a thread: a fleet starts hundreds of nodes.
            found = socket.getaddrinfo(
                host, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, family=family, type=socket.SOCK_DGRAM
            )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "invalid name"
        raise OperatorError(f"Cannot resolve host {host!r}: {reason}.") from error
    best = min(found, key=lambda candidate: candidate[0] != socket.AF_INET)
    return SocketAddress(best[0], best[4])


def bind_socket(local: SocketAddress) -> socket.socket:
    """Open a non-blocking UDP socket. Raises `OperatorError`."""
    host, port, *_ = local.sockaddr
    opened = socket.socket(local.family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        if local.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(local.sockaddr)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            sentence = f"UDP port {port} on {host} is in use. Choose another one with --port."
        elif error.errno == errno.EADDRNOTAVAIL:
            sentence = f"This machine has no address {host}. Choose another one with --host."
        else:
            sentence = f"Cannot open UDP port {port} on {host}: {error.strerror}."
        raise OperatorError(sentence) from error
    return opened
