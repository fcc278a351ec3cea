# SPDX-License-Identifier: BSD-3-Clause
"""The UDP port of the gateway, or one sentence about why it cannot be had."""

import contextlib
import errno
import socket
from typing import Final

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import confine_to_loopback, is_both_loopbacks

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Asked of the system for datagrams that wait. It may give less; what does not fit is lost."""
_SO_RCVBUFFORCE: Final = 33
"""Of Linux, which Python has no name for; socket(7)."""


def udp_socket(host: str, port: int, interface: str, *, protocol: str, flag: str) -> socket.socket:
    """A socket for IPv6 and IPv4 that is not shared. Raises `OperatorError`.

    `protocol` and the `flag` of its port stand in the sentences of errors.

    A loopback address stands for both: where the system allows it, the socket is at every address
    of the loopback interface, and hears this machine only.
    """
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError as error:
        raise OperatorError(
            f"{protocol} needs IPv6 in the kernel, also for nodes over IPv4 ({error.strerror}):"
            " boot without ipv6.disable=1. To switch addresses of IPv6 off, use"
            " net.ipv6.conf.all.disable_ipv6=1."
        ) from error
    try:
        sock.setblocking(False)
        enlarge(sock)
        # IPv4 arrives here too, as mapped addresses.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if is_both_loopbacks(host):
            both = not interface and confine_to_loopback(sock)
            host = "::" if both else "127.0.0.1"
        found = socket.getaddrinfo(
            host or "::", port, socket.AF_INET6, socket.SOCK_DGRAM, 0, socket.AI_V4MAPPED
        )
        sock.bind(found[0][4])
    except OSError as error:
        sock.close()
        if isinstance(error, socket.gaierror):
            raise OperatorError(
                f"{protocol} cannot listen on {host!r}: {error.strerror}."
            ) from error
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"UDP port {port} is taken: end the other {protocol} server, or choose another port"
                f" with {flag}."
            ) from error
        if error.errno in (errno.ENODEV, errno.EPERM) and interface:
            raise OperatorError(
                f"{protocol} cannot use the network interface {interface!r}: {error.strerror}."
            ) from error
        raise OperatorError(f"{protocol} cannot listen on {host} port {port}: {error}.") from error
    return sock


def enlarge(sock: socket.socket) -> None:
    """More room for bursts, as far as the system gives it; root may have all of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if hasattr(socket, "AF_PACKET"):  # Linux
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
