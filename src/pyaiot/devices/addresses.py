# SPDX-License-Identifier: BSD-3-Clause
"""Addresses of gateways and of simulated nodes that speak UDP, and their sockets."""

import asyncio
import errno
import ipaddress
import socket
from typing import Any, NamedTuple

from pyaiot.errors import OperatorError


class Address(NamedTuple):
    """As `socket` wants it."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


async def addresses(
    gateway_host: str, gateway_port: int, host: str, port: int
) -> tuple[Address, Address]:
    """The gateway's address and our own.

    `host` empty: loopback for a gateway on loopback, else every address of this machine. Raises
    `OperatorError`.
    """
    if host:
        local = await resolve(host, port, socket.AF_UNSPEC)
        return await resolve(gateway_host, gateway_port, local.family), local
    gateway = await resolve(gateway_host, gateway_port, socket.AF_UNSPEC)
    loopback = ipaddress.ip_address(gateway.sockaddr[0].partition("%")[0]).is_loopback
    if gateway.family == socket.AF_INET:
        host = "127.0.0.1" if loopback else "0.0.0.0"  # noqa: S104 - a gateway that is elsewhere
    else:
        host = "::1" if loopback else "::"
    return gateway, Address(gateway.family, (host, port))


async def resolve(host: str, port: int, family: int) -> Address:
    """The address of a host, IPv4 first. Raises `OperatorError`."""
    try:
        try:
            # An address needs no thread: a fleet starts hundreds of nodes at once.
            found = socket.getaddrinfo(
                host, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, family=family, type=socket.SOCK_DGRAM
            )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise OperatorError(f"Cannot find the address of {host!r}: {reason}.") from error
    best = min(found, key=lambda candidate: candidate[0] != socket.AF_INET)
    return Address(best[0], best[4])


def bound_socket(local: Address) -> socket.socket:
    """Raises `OperatorError`."""
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
            sentence = f"UDP port {port} at {host} is taken: choose another one with --port."
        elif error.errno == errno.EADDRNOTAVAIL:
            sentence = f"This machine has no address {host}: choose another one with --host."
        else:
            sentence = f"Cannot open UDP port {port} at {host}: {error.strerror}."
        raise OperatorError(sentence) from error
    return opened
