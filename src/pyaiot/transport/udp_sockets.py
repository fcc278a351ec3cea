# SPDX-License-Identifier: BSD-3-Clause
"""Opens UDP sockets, with errors for the operator; checks whether a UDP server answers."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.addresses import ANY, confine_to_loopback, is_both_loopbacks, name_lookup

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Receive buffer that is requested from the system, which may grant less. Datagrams that do not
fit are lost."""
_SO_RCVBUFFORCE: Final = 33
"""socket(7). Linux; Python 3.11 has no name for it."""

log = logging.getLogger(__name__)


def udp_socket(host: str, port: int, interface: str, *, protocol: str, flag: str) -> socket.socket:
    """A bound dual-stack socket with an exclusive port, of IPv4 only where the kernel has no IPv6.
    Raises `OperatorError`.

    `protocol` and `flag`, which sets the port, are used in error messages.

    A loopback address means both: where the system allows it, the socket is bound to all addresses
    of the loopback interface, and receives from this machine only.
    """
    family, flags, every_host = socket.AF_INET6, socket.AI_V4MAPPED, ANY[0]
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        log.info("%s: IPv4 only, the kernel has no IPv6 (%s)", protocol, error.strerror)
        family, flags, every_host = socket.AF_INET, socket.AddressInfo(0), ANY[1]
        sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        enlarge(sock)
        if family == socket.AF_INET6:
            # IPv4 peers appear as mapped addresses.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if is_both_loopbacks(host):
            is_ipv6 = family == socket.AF_INET6
            both = is_ipv6 and not interface and confine_to_loopback(sock)
            host = "::" if both else "127.0.0.1"
        elif not host or host == ANY[0]:
            host = every_host
        with name_lookup():
            found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, 0, flags)
    except OSError as error:
        sock.close()
        if isinstance(error, socket.gaierror):
            raise OperatorError(
                f"{protocol} cannot listen on {host!r}: {error.strerror}."
            ) from error
        if error.errno in (errno.ENODEV, errno.EPERM) and interface:
            raise OperatorError(
                f"{protocol} cannot use the network interface {interface!r}: {error.strerror}."
            ) from error
        raise OperatorError(
            f"{protocol} cannot listen on {host} port {port}: {reason_of(error)}."
        ) from error
    bind(sock, found[0][4], host, server=f"{protocol} server", flag=flag)
    return sock


def bind(sock: socket.socket, address: Any, host: str, *, server: str, flag: str) -> None:
    """Bind a socket, or close it and raise `OperatorError` with a sentence for the operator."""
    port = address[1]
    protocol = server.split(maxsplit=1)[0]
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"UDP port {port} is in use: stop the other {server}, or choose another port"
                f" with {flag}."
            ) from error
        raise OperatorError(
            f"{protocol} cannot listen on {host} port {port}: {reason_of(error)}."
        ) from error


def enlarge(sock: socket.socket) -> None:
    """Request a larger receive buffer. Root may exceed the system's limit."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if hasattr(socket, "AF_PACKET"):  # Linux
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)


async def answers_probe(
    host: str, port: int, probe: bytes, is_answer: Callable[[bytes], bool], limit_s: float
) -> bool:
    """Whether a UDP server of this machine answers `probe` within `limit_s`, by `is_answer`."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class _Probe(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: Any) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    # A dual-stack socket receives IPv4 too, and the IPv6 loopback may be disabled.
    host = "127.0.0.1" if host in ANY else host
    try:
        transport, _ = await loop.create_datagram_endpoint(_Probe, remote_addr=(host, port))
    except OSError:
        return False  # for example no free file descriptor
    try:
        transport.sendto(probe)
        async with asyncio.timeout(limit_s):
            return is_answer(await answer)
    except (OSError, TimeoutError):
        return False
    finally:
        transport.close()
